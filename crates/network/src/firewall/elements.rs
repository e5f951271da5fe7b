//! The elements of sets and maps, and reading them back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_types::{Error, Result};

use super::NetworkRules;
use super::ruleset::sets;
use crate::nft::Element;
use crate::plan::{PortPlan, Protocol};
use crate::subnet::Subnet;

/// All elements that stand for a network.
pub(super) fn of_network(network: &NetworkRules) -> Vec<Element> {
    let bridge = name(&network.bridge);
    let mut elements = vec![single(sets::BRIDGES, bridge.clone())];
    let choices = [(network.outbound, sets::OUTBOUND), (network.masquerade, sets::MASQUERADE)];
    elements.extend(choices.iter().filter(|(chosen, _)| *chosen).map(|(_, set)| single(set, bridge.clone())));
    if network.icc {
        elements.push(single(sets::TALK, [&bridge[..], &bridge[..]].concat()));
    }
    elements.extend(network.subnets.iter().map(|subnet| own_subnet(&bridge, subnet)));
    elements
}

/// A bridge as the element of a set of interfaces.
pub(super) fn bridge_element(set: &'static str, bridge: &str) -> Element {
    single(set, name(bridge))
}

/// A subnet, with every protocol, as the element of a set of such pairs.
pub(super) fn range_element(set: &'static str, subnet: &Subnet) -> Element {
    let key = |address, protocol: u8| [&octets(address)[..], &[protocol, 0, 0, 0]].concat();
    Element { set, key: key(subnet.address(), 0), key_end: key(subnet.last(), u8::MAX), data: Vec::new() }
}

fn own_subnet(bridge: &[u8], subnet: &Subnet) -> Element {
    let key = |address| [bridge, &octets(address)[..]].concat();
    let set = if subnet.is_ipv4() { sets::LOCAL4 } else { sets::LOCAL6 };
    Element { set, key: key(subnet.address()), key_end: key(subnet.last()), data: Vec::new() }
}

/// The map element of a published port.
///
/// # Errors
/// `NotImplemented` when the two addresses are of different families, or for IPv6 loopback, which the kernel never
/// routes.
pub(super) fn of_port(port: &PortPlan) -> Result<Element> {
    let set = map_of(port)?;
    let mut key = if port.host_ip.is_unspecified() { Vec::new() } else { octets(port.host_ip) };
    key.extend([protocol_number(port.protocol), 0, 0, 0]);
    key.extend(padded(port.host_port));
    let mut data = octets(port.container_ip);
    data.extend(padded(port.container_port));
    Ok(Element { set, key, key_end: Vec::new(), data })
}

fn map_of(port: &PortPlan) -> Result<&'static str> {
    match (port.host_ip, port.container_ip) {
        (IpAddr::V6(Ipv6Addr::LOCALHOST), _) => {
            Err(Error::not_implemented("publishing a port on ::1 is not possible with NAT"))
        }
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(_)) => Ok(sets::ANY4),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(_)) => Ok(sets::ANY6),
        (IpAddr::V4(_), IpAddr::V4(_)) => Ok(sets::PORTS4),
        (IpAddr::V6(_), IpAddr::V6(_)) => Ok(sets::PORTS6),
        (host, container) => Err(Error::not_implemented(format!(
            "cannot publish on {host}: the container has only the address {container} of the other family"
        ))),
    }
}

/// The port that an element of `set` stands for; `None` for bytes that wharf did not write.
pub(super) fn to_port(set: &str, key: &[u8], data: &[u8]) -> Option<PortPlan> {
    let (width, specific) = match set {
        sets::ANY4 => (4, false),
        sets::PORTS4 => (4, true),
        sets::ANY6 => (16, false),
        _ => (16, true),
    };
    let (host, rest) = key.split_at_checked(if specific { width } else { 0 })?;
    let (container, container_port) = data.split_at_checked(width)?;
    let host_ip = if specific { address(host)? } else { unspecified(width) };
    Some(PortPlan {
        host_ip,
        host_port: port_number(rest.get(4..)?)?,
        container_ip: address(container)?,
        container_port: port_number(container_port)?,
        protocol: protocol(*rest.first()?)?,
    })
}

fn unspecified(width: usize) -> IpAddr {
    if width == 4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn single(set: &'static str, key: Vec<u8>) -> Element {
    Element { set, key, key_end: Vec::new(), data: Vec::new() }
}

/// An interface name as the kernel compares it: sixteen bytes, the rest zero.
fn name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn port_number(bytes: &[u8]) -> Option<u16> {
    bytes.get(..2)?.try_into().ok().map(u16::from_be_bytes)
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn protocol(number: u8) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|known| protocol_number(*known) == number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        let v4 = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into()));
        let v6 = (any::<u128>(), any::<u128>()).prop_map(|(a, b)| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into()));
        let any4 = any::<u32>().prop_map(|a| (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::from(a).into()));
        let any6 = any::<u128>().prop_map(|a| (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from(a).into()));
        prop_oneof![v4, v6, any4, any6]
    }

    proptest! {
        #[test]
        fn a_port_is_read_back_as_it_was_written(
            (host_ip, container_ip) in any_address(),
            (host_port, container_port) in any::<(u16, u16)>(),
            protocol in prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)],
        ) {
            prop_assume!(host_ip != IpAddr::V6(Ipv6Addr::LOCALHOST));
            let port = PortPlan { host_ip, host_port, container_ip, container_port, protocol };
            let element = of_port(&port).unwrap();
            prop_assert_eq!(element.key.len() % 4, 0);
            prop_assert_eq!(to_port(element.set, &element.key, &element.data), Some(port));
        }

        #[test]
        fn foreign_elements_are_read_without_a_panic(
            key in prop::collection::vec(any::<u8>(), 0..30),
            data in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            for set in sets::OF_PORTS {
                let _ = to_port(set, &key, &data);
            }
        }
    }

    #[test]
    fn a_port_cannot_cross_address_families() {
        let port = |host_ip: &str| PortPlan {
            host_ip: host_ip.parse().unwrap(),
            host_port: 80,
            container_ip: "172.17.0.2".parse().unwrap(),
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        for host_ip in ["::", "::1", "fd00::1"] {
            assert_eq!(of_port(&port(host_ip)).unwrap_err().kind(), wharf_types::Kind::NotImplemented, "{host_ip}");
        }
    }
}
