//! What a person wants of one endpoint, read from the API's words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_api::network::EndpointSettings;
use wharf_types::{Error, Result};

use super::record::Network;

const INTERFACE: &str = "com.docker.network.endpoint.ifname";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
/// The longest name in bytes of an interface.
const LONGEST_NAME: usize = 15;

/// What a person wants of one endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses of the link.
    pub link_local: Vec<IpAddr>,
    /// The hardware address.
    pub mac: Option<[u8; 6]>,
    /// The interface's name in the container.
    pub interface: Option<String>,
    /// Kernel parameters of the interface, `IFNAME` standing for its name.
    pub sysctls: Vec<(String, String)>,
    /// The network of the highest priority gives the default route.
    pub priority: i64,
}

/// A network that a container is to be on, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The network.
    pub network: Network,
    /// How.
    pub wishes: Wishes,
    /// Under which names others find it there.
    pub names: Vec<String>,
}

impl Wanted {
    /// Reads and checks the settings for a network.
    ///
    /// # Errors
    /// `InvalidParameter`, in Docker's words, for what makes no sense; `Forbidden` for a network that is only a
    /// configuration.
    pub fn new(network: Network, settings: &EndpointSettings) -> Result<Self> {
        if network.config_only {
            return Err(Error::forbidden("cannot create endpoint on configuration-only network"));
        }
        let wishes = Wishes::read(settings)?;
        wishes.check(&network)?;
        Ok(Self { network, wishes, names: Vec::new() })
    }
}

impl Wishes {
    /// Reads the settings.
    ///
    /// # Errors
    /// `InvalidParameter` for an address, a name or an option that is none.
    pub fn read(settings: &EndpointSettings) -> Result<Self> {
        let ipam = settings.ipam_config.clone().unwrap_or_default();
        let options = &settings.driver_opts;
        Ok(Self {
            ipv4: address(&ipam.ipv4_address, "IPv4")?,
            ipv6: address(&ipam.ipv6_address, "IPv6")?,
            link_local: ipam.link_local_ips.iter().map(|text| link_local(text)).collect::<Result<_>>()?,
            mac: Some(&settings.mac_address).filter(|text| !text.is_empty()).map(|text| mac(text)).transpose()?,
            interface: options.get(INTERFACE).map(|name| interface(name)).transpose()?,
            sysctls: options.get(SYSCTLS).map_or_else(|| Ok(Vec::new()), |text| sysctls(text))?,
            priority: settings.gw_priority,
        })
    }

    /// Addresses can be chosen where the person chose the subnet: others may be different after the next creation.
    fn check(&self, network: &Network) -> Result<()> {
        let wanted = [(self.ipv4.is_some(), true), (self.ipv6.is_some(), false)];
        if wanted.iter().any(|(wanted, _)| *wanted) && network.is_predefined() {
            return Err(Error::invalid("user specified IP address is supported on user defined networks only")
                .with_hint("'wharf network create --subnet ...' makes one"));
        }
        if wanted.iter().any(|(wanted, ipv4)| *wanted && !network.has_configured_subnet(*ipv4)) {
            return Err(Error::invalid(
                "user specified IP address is supported only when connecting to networks with user configured subnets",
            )
            .with_hint("give the network a subnet of the address's family with --subnet when it is created"));
        }
        Ok(())
    }
}

fn address<A: std::str::FromStr>(text: &str, family: &str) -> Result<Option<A>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| Error::invalid(format!("invalid {family} address: {text}"))),
    }
}

fn link_local(text: &str) -> Result<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| Error::invalid(format!("invalid link-local IP address: {text}")))?;
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if is_link_local {
        return Ok(address);
    }
    Err(Error::invalid(format!("invalid link-local IP address: {text}"))
        .with_hint("link-local addresses lie in 169.254.0.0/16 and fe80::/10"))
}

/// Six bytes, in hexadecimal digits with colons or dashes between them.
fn mac(text: &str) -> Result<[u8; 6]> {
    let invalid = || Error::invalid(format!("invalid MAC address: {text}"));
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let mut bytes = [0; 6];
    if parts.len() != bytes.len() {
        return Err(invalid());
    }
    for (byte, part) in bytes.iter_mut().zip(parts) {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| digits).ok_or_else(invalid)?;
    }
    if bytes[0] & 1 == 1 || bytes == [0; 6] {
        return Err(invalid().with_hint("a group address or zeros cannot be an interface's"));
    }
    Ok(bytes)
}

fn interface(name: &str) -> Result<String> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"/:\\".contains(&b);
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(plain);
    if fits && !matches!(name, "." | ".." | "lo") {
        return Ok(name.to_owned());
    }
    Err(Error::invalid(format!("invalid interface name '{name}' in {INTERFACE}"))
        .with_hint("an interface name has 1 to 15 printable characters without '/' and ':'"))
}

fn sysctls(text: &str) -> Result<Vec<(String, String)>> {
    let one = |line: &str| {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| Error::invalid(format!("invalid value in {SYSCTLS}: {line}: expected NAME=VALUE")))?;
        let parts: Vec<&str> = name.trim().split('.').collect();
        let of_interface = matches!(parts[..], ["net", "ipv4" | "ipv6" | "mpls", "conf" | "neigh", "IFNAME", _])
            || matches!(parts[..], ["net", "mpls", "conf", "IFNAME", _]);
        match of_interface {
            true => Ok((name.trim().to_owned(), value.trim().to_owned())),
            false => Err(Error::invalid(format!("invalid sysctl in {SYSCTLS}: {name}"))
                .with_hint("write it as net.ipv4.conf.IFNAME.log_martians=1; IFNAME stands for the interface")),
        }
    };
    text.split(',').map(str::trim).filter(|line| !line.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use wharf_api::network::EndpointIpamConfig;

    use super::super::record::Driver;
    use super::*;

    fn settings(key: &str, value: &str) -> EndpointSettings {
        EndpointSettings {
            driver_opts: [(key.to_owned(), value.to_owned())].into_iter().collect(),
            ..EndpointSettings::default()
        }
    }

    #[test]
    fn hardware_addresses_are_read_strictly() {
        assert_eq!(mac("02:42:ac:11:00:0A").unwrap(), [2, 0x42, 0xac, 0x11, 0, 10]);
        assert_eq!(mac("02-42-ac-11-00-0a").unwrap()[5], 10);
        for text in ["zz", "02:42:ac:11:00", "02:42:ac:11:00:0a:0b", "01:00:00:00:00:01", "+2:42:ac:11:00:0a"] {
            assert!(mac(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_of_endpoints_are_read() {
        let wishes = Wishes::read(&settings(SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=1, net.ipv6.conf.IFNAME.x=2"));
        assert_eq!(wishes.unwrap().sysctls.len(), 2);
        assert_eq!(Wishes::read(&settings(INTERFACE, "lan0")).unwrap().interface.as_deref(), Some("lan0"));
        for (key, value) in [
            (SYSCTLS, "net.ipv4.ip_forward=1"),
            (SYSCTLS, "net.ipv4.conf.eth0.x=1"),
            (SYSCTLS, "x"),
            (INTERFACE, "a/b"),
            (INTERFACE, "lo"),
            (INTERFACE, "sixteen-bytes-xx"),
        ] {
            assert!(Wishes::read(&settings(key, value)).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn addresses_are_chosen_where_the_subnet_was() {
        let ipam = |ipv4: &str, ipv6: &str| EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: ipv4.into(),
                ipv6_address: ipv6.into(),
                ..EndpointIpamConfig::default()
            }),
            ..EndpointSettings::default()
        };
        let mut network = Network::new(crate::names::fresh_id(), "n", Driver::Bridge);
        assert!(Wanted::new(network.clone(), &ipam("10.0.0.9", "")).is_err());
        let config = wharf_api::network::IpamConfig { subnet: "10.0.0.0/24".into(), ..Default::default() };
        network.ipam.config = [config].into_iter().collect();
        assert!(Wanted::new(network.clone(), &ipam("10.0.0.9", "")).is_ok());
        assert!(Wanted::new(network.clone(), &ipam("", "fd00::9")).is_err());
        assert!(Wanted::new(network.clone(), &ipam("x", "")).is_err());
        network.config_only = true;
        let refused = Wanted::new(network, &ipam("", "")).unwrap_err();
        assert_eq!(refused.kind(), wharf_types::Kind::Forbidden);
    }
}
