//! The options of network drivers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use wharf_network::plan::{IpvlanFlag, IpvlanMode, Link, MacvlanMode};
use wharf_types::{Error, Result};

use super::record::{Driver, Network};

const BRIDGE: &str = "com.docker.network.bridge.";
/// The largest MTU in bytes that a bridge takes.
const LARGEST_MTU: u32 = 65_535;
/// The smallest that IPv4 works with (RFC 791).
const SMALLEST_MTU: u32 = 68;

/// A network's options, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether containers of the network reach each other.
    pub icc: bool,
    /// Whether what leaves the host gets its address.
    pub masquerade: bool,
    /// Name of the bridge, where the person chose one.
    pub bridge: Option<String>,
    /// Maximum transmission unit in bytes, where the person chose one.
    pub mtu: Option<u32>,
    /// Where ports are published that name no address.
    pub host_binding: Option<Ipv4Addr>,
    /// What the names of interfaces in containers begin with.
    pub prefix: String,
    /// The kind of the containers' interfaces.
    pub link: Link,
    /// The interface of the host that it sits on.
    pub parent: Option<String>,
}

impl Settings {
    /// Those of a network.
    ///
    /// # Errors
    /// `InvalidParameter` for a value that makes no sense, in Docker's words.
    pub fn of(network: &Network) -> Result<Self> {
        Self::read(network.driver, &network.options)
    }

    /// Reads the options; unknown ones are nobody's business, as with Docker.
    pub fn read(driver: Driver, options: &BTreeMap<String, String>) -> Result<Self> {
        let flag = |name: &str| truth(&format!("{BRIDGE}{name}"), options);
        for (name, plain) in [("gateway_mode_ipv4", "nat"), ("gateway_mode_ipv6", "nat")] {
            let key = format!("{BRIDGE}{name}");
            if let Some(mode) = options.get(&key).filter(|mode| !mode.is_empty() && *mode != plain) {
                return Err(Error::invalid(format!("{key}: the gateway mode {mode:?} is not supported"))
                    .with_hint("'nat' is the one that there is; --internal keeps everything inside"));
            }
        }
        Ok(Self {
            icc: flag("enable_icc")?.unwrap_or(true),
            masquerade: flag("enable_ip_masquerade")?.unwrap_or(true),
            bridge: text(options, &format!("{BRIDGE}name")),
            mtu: mtu(options)?,
            host_binding: host_binding(options)?,
            prefix: text(options, "com.docker.network.container_iface_prefix").unwrap_or_else(|| "eth".into()),
            link: link(driver, options)?,
            parent: parent(driver, options)?,
        })
    }
}

fn text(options: &BTreeMap<String, String>, key: &str) -> Option<String> {
    options.get(key).filter(|value| !value.is_empty()).cloned()
}

fn truth(key: &str, options: &BTreeMap<String, String>) -> Result<Option<bool>> {
    match options.get(key).map(String::as_str) {
        None => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(other) => Err(Error::invalid(format!("failed to parse {key} value: {other} (it is true or false)"))),
    }
}

fn mtu(options: &BTreeMap<String, String>) -> Result<Option<u32>> {
    const KEY: &str = "com.docker.network.driver.mtu";
    let Some(value) = text(options, KEY) else { return Ok(None) };
    let number: i64 = value
        .parse()
        .map_err(|_| Error::invalid(format!("failed to parse {KEY} value: {value} (it is a number of bytes)")))?;
    match u32::try_from(number) {
        Ok(0) => Ok(None),
        Ok(mtu) if (SMALLEST_MTU..=LARGEST_MTU).contains(&mtu) => Ok(Some(mtu)),
        _ => Err(Error::invalid(format!("invalid MTU number: {value}"))
            .with_hint(format!("an MTU is {SMALLEST_MTU} to {LARGEST_MTU} bytes"))),
    }
}

fn host_binding(options: &BTreeMap<String, String>) -> Result<Option<Ipv4Addr>> {
    let key = format!("{BRIDGE}host_binding_ipv4");
    let Some(value) = text(options, &key) else { return Ok(None) };
    match value.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(Error::invalid(format!("failed to parse {key} value: {value} (it is an IPv4 address)"))),
    }
}

fn link(driver: Driver, options: &BTreeMap<String, String>) -> Result<Link> {
    let word = |key: &str| text(options, key);
    match driver {
        Driver::Macvlan => macvlan(word("macvlan_mode").as_deref()).map(Link::Macvlan),
        Driver::Ipvlan => {
            let mode = ipvlan(word("ipvlan_mode").as_deref())?;
            Ok(Link::Ipvlan(mode, ipvlan_flag(word("ipvlan_flag").as_deref())?))
        }
        _ => Ok(Link::Veth),
    }
}

fn macvlan(mode: Option<&str>) -> Result<MacvlanMode> {
    match mode {
        None | Some("bridge") => Ok(MacvlanMode::Bridge),
        Some("private") => Ok(MacvlanMode::Private),
        Some("vepa") => Ok(MacvlanMode::Vepa),
        Some("passthru") => Ok(MacvlanMode::Passthru),
        Some(other) => Err(Error::invalid(format!(
            "requested macvlan mode '{other}' is not valid, 'bridge' mode is the macvlan driver default"
        ))
        .with_hint("modes are bridge, private, vepa and passthru")),
    }
}

fn ipvlan(mode: Option<&str>) -> Result<IpvlanMode> {
    match mode {
        None | Some("l2") => Ok(IpvlanMode::L2),
        Some("l3") => Ok(IpvlanMode::L3),
        Some("l3s") => Ok(IpvlanMode::L3s),
        Some(other) => Err(Error::invalid(format!(
            "requested ipvlan mode '{other}' is not valid, 'l2' mode is the ipvlan driver default"
        ))
        .with_hint("modes are l2, l3 and l3s")),
    }
}

fn ipvlan_flag(flag: Option<&str>) -> Result<IpvlanFlag> {
    match flag {
        None | Some("bridge") => Ok(IpvlanFlag::Bridge),
        Some("private") => Ok(IpvlanFlag::Private),
        Some("vepa") => Ok(IpvlanFlag::Vepa),
        Some(other) => Err(Error::invalid(format!(
            "requested ipvlan flag '{other}' is not valid, 'bridge' is the ipvlan driver default"
        ))
        .with_hint("flags are bridge, private and vepa")),
    }
}

fn parent(driver: Driver, options: &BTreeMap<String, String>) -> Result<Option<String>> {
    if !matches!(driver, Driver::Macvlan | Driver::Ipvlan) {
        return Ok(None);
    }
    let parent = text(options, "parent");
    if parent.as_deref() == Some("lo") {
        let driver = driver.name();
        return Err(Error::invalid(format!("loopback interface is not a valid {driver} parent link")));
    }
    if let Some(parent) = &parent {
        wharf_network::check_bridge_name(parent)
            .map_err(|error| Error::invalid(format!("invalid parent interface name '{parent}'")).caused_by(error))?;
    }
    Ok(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: Driver, options: &[(&str, &str)]) -> Result<Settings> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::read(driver, &options)
    }

    #[test]
    fn defaults_are_dockers() {
        let settings = read(Driver::Bridge, &[("someone.elses", "x")]).unwrap();
        assert!(settings.icc && settings.masquerade && settings.link == Link::Veth);
        assert_eq!((settings.mtu, settings.prefix.as_str()), (None, "eth"));
        assert_eq!(read(Driver::Macvlan, &[]).unwrap().link, Link::Macvlan(MacvlanMode::Bridge));
        assert_eq!(read(Driver::Ipvlan, &[]).unwrap().link, Link::Ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge));
    }

    #[test]
    fn nonsense_is_refused() {
        for (driver, key, value) in [
            (Driver::Bridge, "com.docker.network.driver.mtu", "x"),
            (Driver::Bridge, "com.docker.network.driver.mtu", "-1"),
            (Driver::Bridge, "com.docker.network.driver.mtu", "70000"),
            (Driver::Bridge, "com.docker.network.bridge.enable_icc", "x"),
            (Driver::Bridge, "com.docker.network.bridge.host_binding_ipv4", "x"),
            (Driver::Bridge, "com.docker.network.bridge.gateway_mode_ipv4", "routed"),
            (Driver::Macvlan, "macvlan_mode", "x"),
            (Driver::Macvlan, "parent", "lo"),
            (Driver::Macvlan, "parent", "a/b"),
            (Driver::Ipvlan, "ipvlan_mode", "x"),
            (Driver::Ipvlan, "ipvlan_flag", "x"),
        ] {
            let error = read(driver, &[(key, value)]).unwrap_err();
            assert_eq!(error.kind(), wharf_types::Kind::InvalidParameter, "{key}={value}");
        }
    }
}
