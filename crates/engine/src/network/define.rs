//! From a request to a network: everything is checked before anything is made.

use std::collections::BTreeMap;
use std::net::IpAddr;

use wharf_api::network::{CreateRequest, Ipam, IpamConfig};
use wharf_network::Subnet;
use wharf_network::ipam::{AddressPool, Allocator, choose_subnet};
use wharf_types::{Error, Id, Result};

use super::options::Settings;
use super::record::{Driver, Network, Pool, is_predefined};

/// The words by which Docker refuses a subnet that is in use.
const OVERLAP: &str = "Pool overlaps with other one on this address space";

/// A network as the request describes it, with no subnet chosen yet. `find` knows the networks that there are.
///
/// # Errors
/// As Docker's: `Forbidden` for predefined names and what a swarm would have to do, `NotFound` for drivers and
/// configurations that are not there, `InvalidParameter` for what makes no sense.
pub fn define(id: Id, request: CreateRequest, find: impl Fn(&str) -> Option<Network>) -> Result<Network> {
    check_name(&request.name)?;
    refuse_swarm(&request)?;
    let driver = driver(&request.driver)?;
    let mut network = Network {
        labels: request.labels.into_inner(),
        internal: request.internal,
        attachable: request.attachable,
        config_only: request.config_only,
        ..Network::new(id, &request.name, if request.config_only { Driver::Null } else { driver })
    };
    match request.config_from.map(|from| from.network).filter(|name| !name.is_empty()) {
        Some(from) => {
            let asked = request.ipam.as_ref().is_some_and(|ipam| !ipam.config.is_empty() || !ipam.options.is_empty());
            if asked || !request.options.is_empty() || request.enable_ipv6 == Some(true) {
                return Err(Error::forbidden(
                    "user specified configurations are not supported if the network depends on a configuration network",
                ));
            }
            take_configuration(&mut network, &from, find)?;
        }
        None => {
            network.ipam = ipam(request.ipam)?;
            network.options = request.options.into_inner();
            network.enable_ipv4 = truth(&network.options, "com.docker.network.enable_ipv4", request.enable_ipv4, true)?;
            network.enable_ipv6 =
                truth(&network.options, "com.docker.network.enable_ipv6", request.enable_ipv6, false)?;
        }
    }
    if !network.config_only {
        Settings::of(&network)?;
    }
    if !network.enable_ipv4 && !network.enable_ipv6 && driver.has_endpoints() {
        return Err(Error::invalid("IPv4 or IPv6 must be enabled").with_hint("add --ipv6, or leave out --ipv4=false"));
    }
    requested(&network)?;
    Ok(network)
}

/// Docker's flags and the option of the same meaning.
fn truth(options: &BTreeMap<String, String>, key: &str, asked: Option<bool>, default: bool) -> Result<bool> {
    match (asked, options.get(key).map(String::as_str)) {
        (Some(asked), _) => Ok(asked),
        (None, Some("true" | "1")) => Ok(true),
        (None, Some("false" | "0")) => Ok(false),
        (None, Some(other)) => Err(Error::invalid(format!("failed to parse {key} value: {other}"))),
        (None, None) => Ok(default),
    }
}

fn check_name(name: &str) -> Result<()> {
    if is_predefined(name) {
        return Err(Error::forbidden(format!("operation is not permitted on predefined {name} network ")));
    }
    let is_bad = |c: char| c.is_control() || c == '/';
    if name.trim().is_empty() || name.contains(is_bad) || name.len() > 255 {
        return Err(Error::invalid(format!("invalid name: {name}")).with_hint("name the network, without slashes"));
    }
    if name.parse::<Id>().is_ok() || name.starts_with("container:") {
        return Err(Error::invalid(format!("invalid name: {name}")).with_hint("this would be read as something else"));
    }
    Ok(())
}

fn refuse_swarm(request: &CreateRequest) -> Result<()> {
    let hint = "wharf has no swarm mode; leave the scope out for a network of this host";
    if request.ingress {
        return Err(Error::forbidden("Ingress network can only be global scope network").with_hint(hint));
    }
    match request.scope.as_str() {
        "" | "local" => Ok(()),
        "swarm" => {
            Err(Error::forbidden("cannot create a swarm scoped network when swarm is not active").with_hint(hint))
        }
        other => Err(Error::invalid(format!("invalid scope: {other}")).with_hint(hint)),
    }
}

fn driver(name: &str) -> Result<Driver> {
    match name {
        "" | "default" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        "host" | "null" => Err(Error::forbidden(format!("only one instance of \"{name}\" network is allowed"))),
        "overlay" => Err(Error::unavailable(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
             to swarm and try again.",
        )
        .with_hint("wharf has no swarm mode; use the driver bridge, macvlan or ipvlan")),
        other => Err(Error::not_found(format!("plugin {other:?} not found"))
            .with_hint("the drivers are bridge, macvlan and ipvlan")),
    }
}

fn take_configuration(network: &mut Network, from: &str, find: impl Fn(&str) -> Option<Network>) -> Result<()> {
    if network.config_only {
        return Err(Error::forbidden("a configuration network cannot depend on another configuration network"));
    }
    let source = find(from).filter(|found| found.config_only);
    let source = source.ok_or_else(|| Error::not_found(format!("configuration network {from:?} does not exist")))?;
    network.config_from = source.name;
    network.ipam = source.ipam;
    network.options = source.options;
    (network.enable_ipv4, network.enable_ipv6) = (source.enable_ipv4, source.enable_ipv6);
    network.internal |= source.internal;
    for (key, value) in source.labels {
        network.labels.entry(key).or_insert(value);
    }
    Ok(())
}

fn ipam(asked: Option<Ipam>) -> Result<Ipam> {
    let mut ipam = asked.unwrap_or_default();
    match ipam.driver.as_str() {
        "" | "default" => ipam.driver = "default".into(),
        "null" => {
            return Err(Error::not_implemented("networks without addresses (IPAM driver null) are not supported"));
        }
        other => {
            return Err(
                Error::not_found(format!("plugin {other:?} not found")).with_hint("the IPAM driver is 'default'")
            );
        }
    }
    ipam.config.retain(|config| *config != IpamConfig::default());
    Ok(ipam)
}

/// The subnets that the person asked for.
///
/// # Errors
/// `InvalidParameter` for what is no subnet, or lies outside of it; subnets of the network that overlap.
pub fn requested(network: &Network) -> Result<Vec<Pool>> {
    let pools: Vec<Pool> = network.ipam.config.iter().map(pool).collect::<Result<_>>()?;
    for ipv4 in [true, false] {
        let family = pools.iter().filter(|pool| pool.subnet.is_ipv4() == ipv4);
        if network.driver == Driver::Bridge && family.clone().count() > 1 {
            return Err(Error::invalid("bridge driver doesn't support multiple subnets")
                .with_hint("make several networks, or use the driver macvlan or ipvlan"));
        }
        let enabled = if ipv4 { network.enable_ipv4 } else { network.enable_ipv6 };
        if family.count() > 0 && !enabled && !network.config_only {
            let (version, flag) = if ipv4 { (4, "leave out --ipv4=false") } else { (6, "add --ipv6") };
            return Err(Error::invalid(format!("an IPv{version} subnet was given, but IPv{version} is not enabled"))
                .with_hint(flag));
        }
    }
    for (at, pool) in pools.iter().enumerate() {
        if pools[..at].iter().any(|earlier| earlier.subnet.overlaps(&pool.subnet)) {
            return Err(Error::invalid("multiple overlapping subnet configuration is not supported"));
        }
    }
    Ok(pools)
}

fn pool(config: &IpamConfig) -> Result<Pool> {
    let subnet: Subnet = config.subnet.parse().map_err(|error: Error| {
        Error::invalid(format!("Invalid subnet {} : {error}", config.subnet)).with_hint("one looks like 10.5.0.0/16")
    })?;
    let range =
        match config.ip_range.as_str() {
            "" => None,
            text => Some(text.parse::<Subnet>().map_err(|_| {
                Error::invalid(format!("invalid ip-range {text}: it is written as a subnet, 10.5.1.0/24"))
            })?),
        };
    let inside = |text: &str, what: &str| {
        let address: IpAddr =
            text.parse().map_err(|_| Error::invalid(format!("invalid {what} address {text} in Ipam configuration")))?;
        if subnet.contains(address) {
            return Ok(address);
        }
        Err(Error::invalid(format!("failed to allocate {what} ({text}): Requested address is out of range"))
            .with_hint(format!("it must lie in the subnet {subnet}")))
    };
    let chosen = Some(config.gateway.as_str()).filter(|text| !text.is_empty());
    let mut gateway = chosen.map(|text| inside(text, "gateway")).transpose()?;
    let mut reserved = Vec::new();
    for (name, text) in &config.auxiliary_addresses {
        let address = inside(text, "secondary ip address")?;
        if Some(address) == gateway || reserved.contains(&address) {
            let what = format!("failed to allocate secondary ip address ({name}:{text}): Address already in use");
            return Err(Error::forbidden(what));
        }
        reserved.push(address);
    }
    // Refuses a range outside the subnet, and says where a gateway can be.
    let mut allocator = Allocator::new(subnet, range, &reserved)?;
    if gateway.is_none() {
        gateway = Some(allocator.allocate().map_err(|_| {
            Error::invalid(format!("the subnet {subnet} has no room for a gateway"))
                .with_hint("use a larger one: a /30 holds a gateway and one container")
        })?);
    }
    Ok(Pool { subnet, range, gateway, reserved })
}

/// Adds a subnet of each family that the network has and the person gave none for, avoiding `used`.
///
/// # Errors
/// `Forbidden`, in Docker's words, when a subnet overlaps one of `taken`; `Exhausted` when no free one is left.
pub fn choose(
    network: &mut Network,
    pools: &[AddressPool],
    fallback6: AddressPool,
    taken: &[Subnet],
    used: &[Subnet],
) -> Result<()> {
    let mut chosen = requested(network)?;
    for pool in &chosen {
        if let Some(other) = taken.iter().find(|other| other.overlaps(&pool.subnet)) {
            return Err(Error::forbidden(OVERLAP)
                .with_hint(format!("{} overlaps {other} of another network; 'wharf network ls'", pool.subnet)));
        }
    }
    let mut occupied: Vec<Subnet> = taken.iter().chain(used).copied().collect();
    occupied.extend(chosen.iter().map(|pool| pool.subnet));
    for (enabled, ipv4) in [(network.enable_ipv4, true), (network.enable_ipv6, false)] {
        if !enabled || chosen.iter().any(|pool| pool.subnet.is_ipv4() == ipv4) {
            continue;
        }
        let mut family: Vec<AddressPool> = pools.iter().filter(|pool| pool.base.is_ipv4() == ipv4).copied().collect();
        if !ipv4 && family.is_empty() {
            family.push(fallback6);
        }
        let subnet = choose_subnet(&family, &occupied)?;
        let gateway = Some(Allocator::default_gateway(subnet, None)?);
        chosen.push(Pool { subnet, range: None, gateway, reserved: Vec::new() });
    }
    chosen.sort_by_key(|pool| !pool.subnet.is_ipv4());
    network.pools = chosen;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wharf_types::Kind;

    use super::*;

    fn with(configs: &[IpamConfig]) -> CreateRequest {
        let config = configs.iter().cloned().collect();
        let ipam = Some(Ipam { config, ..Ipam::default() });
        CreateRequest { name: "n1".into(), ipam, ..CreateRequest::default() }
    }

    fn subnet(text: &str) -> IpamConfig {
        IpamConfig { subnet: text.into(), ..IpamConfig::default() }
    }

    fn defined(request: CreateRequest) -> Result<Network> {
        define(crate::names::fresh_id(), request, |_| None)
    }

    fn choose_from(network: &mut Network, taken: &[&str], used: &[&str]) -> Result<()> {
        let subnets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Subnet>>();
        let fallback = AddressPool::new("fd12:3456:789a::/48".parse().unwrap(), 64).unwrap();
        choose(network, &wharf_network::ipam::default_pools(), fallback, &subnets(taken), &subnets(used))
    }

    #[test]
    fn subnets_are_chosen_where_none_was_asked_for() {
        let mut network = defined(CreateRequest { enable_ipv6: Some(true), ..with(&[]) }).unwrap();
        choose_from(&mut network, &["172.17.0.0/16"], &["172.18.0.0/15"]).unwrap();
        let chosen: Vec<String> = network.pools.iter().map(|pool| pool.subnet.to_string()).collect();
        assert_eq!(chosen, ["172.20.0.0/16", "fd12:3456:789a::/64"]);
        assert_eq!(network.pools[1].gateway, "fd12:3456:789a::1".parse().ok());
        let mut only6 =
            defined(CreateRequest { enable_ipv4: Some(false), enable_ipv6: Some(true), ..with(&[]) }).unwrap();
        choose_from(&mut only6, &["fd12:3456:789a::/64"], &[]).unwrap();
        assert_eq!(only6.pools.len(), 1);
        assert_eq!(only6.pools[0].subnet.to_string(), "fd12:3456:789a:1::/64");
    }

    #[test]
    fn what_was_asked_for_is_taken() {
        let config = IpamConfig {
            ip_range: "10.5.1.0/24".into(),
            auxiliary_addresses: [("router".to_owned(), "10.5.1.0".to_owned())].into(),
            ..subnet("10.5.0.7/16")
        };
        let mut network = defined(with(&[config])).unwrap();
        choose_from(&mut network, &[], &["10.0.0.0/8"]).unwrap();
        let pool = &network.pools[0];
        assert_eq!((pool.subnet.to_string(), pool.gateway), ("10.5.0.0/16".into(), "10.5.1.1".parse().ok()));
        let overlap = choose_from(&mut network, &["10.5.128.0/17"], &[]).unwrap_err();
        assert_eq!((overlap.kind(), overlap.to_string().as_str()), (Kind::Forbidden, OVERLAP));
    }

    #[test]
    fn nonsense_is_refused_as_docker_refuses_it() {
        let named = |name: &str| CreateRequest { name: name.into(), ..with(&[]) };
        let driven = |driver: &str| CreateRequest { driver: driver.into(), ..with(&[]) };
        let gateway = |gateway: &str| with(&[IpamConfig { gateway: gateway.into(), ..subnet("10.1.0.0/24") }]);
        for (request, kind, words) in [
            (named("bridge"), Kind::Forbidden, "operation is not permitted on predefined bridge network "),
            (named(""), Kind::InvalidParameter, "invalid name: "),
            (named("a/b"), Kind::InvalidParameter, "invalid name: a/b"),
            (driven("nope"), Kind::NotFound, "plugin \"nope\" not found"),
            (driven("host"), Kind::Forbidden, "only one instance of \"host\" network is allowed"),
            (driven("overlay"), Kind::Unavailable, "This node is not a swarm manager."),
            (with(&[subnet("10.1.0.0/33")]), Kind::InvalidParameter, "Invalid subnet 10.1.0.0/33 : invalid CIDR"),
            (gateway("x"), Kind::InvalidParameter, "invalid gateway address x in Ipam configuration"),
            (gateway("10.2.0.1"), Kind::InvalidParameter, "failed to allocate gateway (10.2.0.1): Requested address"),
            (with(&[subnet("10.1.0.0/24"), subnet("10.2.0.0/24")]), Kind::InvalidParameter, "bridge driver doesn't"),
            (with(&[subnet("fd00::/64")]), Kind::InvalidParameter, "an IPv6 subnet was given"),
            (CreateRequest { enable_ipv4: Some(false), ..with(&[]) }, Kind::InvalidParameter, "IPv4 or IPv6 must"),
            (CreateRequest { scope: "swarm".into(), ..with(&[]) }, Kind::Forbidden, "cannot create a swarm scoped"),
            (CreateRequest { ingress: true, ..with(&[]) }, Kind::Forbidden, "Ingress network can only be"),
        ] {
            let error = defined(request.clone()).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), kind, "{request:?}: {error}");
            assert!(error.to_string().starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_configuration_is_taken_from_another_network() {
        let source = CreateRequest { config_only: true, ..with(&[subnet("10.7.0.0/24")]) };
        let source = defined(source).unwrap();
        let from = |name: &str| {
            let config_from = Some(wharf_api::network::ConfigReference { network: name.into() });
            let request = CreateRequest { config_from, ipam: None, ..with(&[]) };
            define(crate::names::fresh_id(), request, |name| (name == "n1").then(|| source.clone()))
        };
        let network = from("n1").unwrap();
        assert_eq!((network.config_from.as_str(), requested(&network).unwrap().len()), ("n1", 1));
        assert_eq!(from("nope").unwrap_err().kind(), Kind::NotFound);
    }
}
