//! Which `--ip-range`, `--gateway` and `--aux-address` belongs to which `--subnet`.

use std::net::IpAddr;

use wharf_api::network::IpamConfig;

/// What was given, in the order in which it was given.
pub struct Wanted<'a> {
    /// `--subnet`.
    pub subnets: &'a [String],
    /// `--ip-range`.
    pub ranges: &'a [String],
    /// `--gateway`.
    pub gateways: &'a [String],
    /// `--aux-address`.
    pub auxiliary: &'a [(String, String)],
}

/// One entry for each subnet, with what lies in it.
pub fn consolidate(wanted: &Wanted<'_>) -> Result<Vec<IpamConfig>, String> {
    if wanted.subnets.len() < wanted.ranges.len() || wanted.subnets.len() < wanted.gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".into());
    }
    let mut configs: Vec<(Block, IpamConfig)> = Vec::new();
    for subnet in wanted.subnets {
        let block = Block::parse(subnet)?;
        if configs.iter().any(|(other, _)| other.contains(block.base) || block.contains(other.base)) {
            return Err("multiple overlapping subnet configuration is not supported".into());
        }
        configs.push((block, IpamConfig { subnet: subnet.clone(), ..IpamConfig::default() }));
    }
    for range in wanted.ranges {
        let inside = Block::parse(range)?;
        let config = find(&mut configs, inside.base).ok_or_else(|| format!("no matching subnet for range {range}"))?;
        set(&mut config.ip_range, range, "ranges", &config.subnet)?;
    }
    for gateway in wanted.gateways {
        let address = address(gateway)?;
        let config = find(&mut configs, address).ok_or_else(|| format!("no matching subnet for gateway {gateway}"))?;
        set(&mut config.gateway, gateway, "gateways", &config.subnet)?;
    }
    for (name, text) in wanted.auxiliary {
        let config = find(&mut configs, address(text)?);
        let config = config.ok_or_else(|| format!("no matching subnet for aux-address {text}"))?;
        config.auxiliary_addresses.insert(name.clone(), text.clone());
    }
    Ok(configs.into_iter().map(|(_, config)| config).collect())
}

fn set(own: &mut String, value: &str, what: &str, subnet: &str) -> Result<(), String> {
    if !own.is_empty() {
        return Err(format!("cannot configure multiple {what} ({value}, {own}) on the same subnet ({subnet})"));
    }
    value.clone_into(own);
    Ok(())
}

fn find(configs: &mut [(Block, IpamConfig)], address: IpAddr) -> Option<&mut IpamConfig> {
    configs.iter_mut().find(|(block, _)| block.contains(address)).map(|(_, config)| config)
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("invalid IP address: {text}"))
}

/// A subnet, as far as it must be understood here.
struct Block {
    base: IpAddr,
    prefix: u32,
}

impl Block {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (base, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let prefix: u32 = prefix.parse().map_err(|_| invalid())?;
        if prefix > if base.is_ipv4() { 32 } else { 128 } { Err(invalid()) } else { Ok(Self { base, prefix }) }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(subnets: &[&str], ranges: &[&str], gateways: &[&str], aux: &[&str]) -> Result<Vec<IpamConfig>, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let auxiliary: Vec<_> = owned(aux).into_iter().map(|address| ("a".to_owned(), address)).collect();
        consolidate(&Wanted {
            subnets: &owned(subnets),
            ranges: &owned(ranges),
            gateways: &owned(gateways),
            auxiliary: &auxiliary,
        })
    }

    #[test]
    fn what_lies_in_a_subnet_goes_with_it() {
        let configs = given(
            &["10.1.0.0/16", "fd00::/64"],
            &["fd00::/80", "10.1.2.0/24"],
            &["10.1.0.9", "fd00::9"],
            &["10.1.0.8"],
        )
        .unwrap();
        assert_eq!((configs[0].ip_range.as_str(), configs[0].gateway.as_str()), ("10.1.2.0/24", "10.1.0.9"));
        assert_eq!((configs[1].ip_range.as_str(), configs[1].gateway.as_str()), ("fd00::/80", "fd00::9"));
        assert_eq!(configs[0].auxiliary_addresses["a"], "10.1.0.8");
        assert!(given(&["0.0.0.0/0"], &[], &["10.0.0.1"], &[]).is_ok());
    }

    #[test]
    fn what_lies_in_none_is_refused_in_dockers_words() {
        let one = &["10.51.0.0/24"][..];
        for (result, words) in [
            (given(one, &[], &["10.52.0.1"], &[]), "no matching subnet for gateway 10.52.0.1"),
            (given(one, &["10.52.0.0/24"], &[], &[]), "no matching subnet for range 10.52.0.0/24"),
            (given(one, &[], &[], &["10.53.0.1"]), "no matching subnet for aux-address 10.53.0.1"),
            (given(&[], &[], &["10.51.0.1"], &[]), "every ip-range or gateway must have a corresponding subnet"),
            (given(&["10.0.0.0/8", "10.51.0.0/24"], &[], &[], &[]), "multiple overlapping subnet configuration"),
            (given(&["10.0.0.0/33"], &[], &[], &[]), "invalid CIDR address: 10.0.0.0/33"),
        ] {
            assert!(result.clone().unwrap_err().starts_with(words), "{result:?}");
        }
    }
}
