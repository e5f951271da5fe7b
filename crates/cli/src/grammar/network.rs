//! `--network`: a name, or comma-separated `name=`, `alias=`, `ip=`, `driver-opt=` and so on.

use std::collections::BTreeMap;

use super::csv;

/// One `--network`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Name, id or mode.
    pub target: String,
    /// Further names in the network.
    pub aliases: Vec<String>,
    /// The wanted IPv4 address.
    pub ipv4: String,
    /// The wanted IPv6 address.
    pub ipv6: String,
    /// Further addresses of the link.
    pub link_local: Vec<String>,
    /// The wanted hardware address.
    pub mac_address: String,
    /// Links to other containers.
    pub links: Vec<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Which network gives the default route: the highest.
    pub gateway_priority: i64,
}

/// Reads one `--network`.
pub fn parse(text: &str) -> Result<Attachment, String> {
    let mut network = Attachment::default();
    if !text.contains('=') {
        network.target = text.to_owned();
        return Ok(network);
    }
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match key.as_str() {
            "name" => network.target = value.to_owned(),
            "alias" => network.aliases.push(value.to_owned()),
            "ip" => network.ipv4 = value.to_owned(),
            "ip6" => network.ipv6 = value.to_owned(),
            "mac-address" => network.mac_address = value.to_owned(),
            "link-local-ip" => network.link_local.push(value.to_owned()),
            "driver-opt" => {
                let pair = value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                network.driver_opts.insert(pair.0.to_ascii_lowercase(), pair.1.to_owned());
            }
            "gw-priority" => {
                network.gateway_priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if network.target.is_empty() { Err("network name/id is not specified".into()) } else { Ok(network) }
}

/// Whether this is a network that somebody made, not one of the modes that every engine knows.
pub fn is_user_defined(target: &str) -> bool {
    !matches!(target, "default" | "bridge" | "host" | "none") && !target.starts_with("container:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        let network = parse("name=a,alias=x,alias=y,ip=1.2.3.4,driver-opt=x=y,gw-priority=3").unwrap();
        assert_eq!((network.target.as_str(), network.aliases.len(), network.gateway_priority), ("a", 2, 3));
        assert_eq!(network.driver_opts["x"], "y");
        for (text, expected) in [
            ("name=a,foo=b", "invalid field key foo"),
            ("alias=x", "network name/id is not specified"),
            ("name=a,driver-opt=x", "invalid key value pair format in driver options"),
            ("name=a,gw-priority=z", "invalid gw-priority (z): invalid syntax"),
        ] {
            assert_eq!(parse(text), Err(expected.into()), "{text}");
        }
        assert!(is_user_defined("web") && !is_user_defined("container:x") && !is_user_defined("host"));
    }
}
