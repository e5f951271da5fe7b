//! Which host ports this engine's containers hold.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

use wharf_network::plan::{PortPlan, Protocol};
use wharf_types::{Error, Id, Result};

/// Ports handed out when the person left the choice to the engine: IANA's dynamic range.
const DYNAMIC: std::ops::RangeInclusive<u16> = 49153..=65535;

/// A port that a person wants to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// Host address, the unspecified one for all of its family; `None` for all of the families that the container has.
    pub host_ip: Option<IpAddr>,
    /// First and last acceptable host port; `None` leaves the choice to the engine.
    pub host_ports: Option<(u16, u16)>,
    /// Port inside the container.
    pub container_port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// The addresses under which published ports reach a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// IPv4, if it has it.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6, if it has it.
    pub ipv6: Option<Ipv6Addr>,
    /// The host's IPv4 address to publish on where none is named; `None`: all of them.
    pub host4: Option<Ipv4Addr>,
}

/// The ports held, by protocol and number.
#[derive(Default)]
pub struct PortTable {
    held: HashMap<(Protocol, u16), Vec<(IpAddr, Id)>>,
    /// Where each container's are.
    of: HashMap<Id, Vec<(Protocol, u16)>>,
    next_dynamic: u16,
}

impl PortTable {
    /// Holds all the wanted ports or none. `name_of` tells the name of a container for the sentence about a conflict.
    ///
    /// # Errors
    /// `Conflict`, in Docker's words, for a port that another container holds; `Exhausted` when all are taken;
    /// `InvalidParameter` for an IPv4 address of the host and a container without one.
    pub fn hold(
        &mut self,
        container: Id,
        ways: Ways,
        wanted: &[PortRequest],
        name_of: &dyn Fn(Id) -> String,
    ) -> Result<Vec<PortPlan>> {
        let mut plans = Vec::with_capacity(wanted.len());
        for request in wanted {
            let held = self.hold_one(container, ways, request, name_of);
            match held {
                Ok(held) => plans.extend(held),
                Err(error) => {
                    self.give_back(container, &plans);
                    return Err(error);
                }
            }
        }
        Ok(plans)
    }

    fn hold_one(
        &mut self,
        container: Id,
        ways: Ways,
        request: &PortRequest,
        name_of: &dyn Fn(Id) -> String,
    ) -> Result<Vec<PortPlan>> {
        let pairs = pairs(request, ways)?;
        let host_ips: Vec<IpAddr> = pairs.iter().map(|(host_ip, _)| *host_ip).collect();
        let host_port = self.choose(request, &host_ips, name_of)?;
        let PortRequest { container_port, protocol, .. } = *request;
        let plans: Vec<PortPlan> = pairs
            .into_iter()
            .map(|(host_ip, container_ip)| PortPlan { host_ip, host_port, container_ip, container_port, protocol })
            .collect();
        self.adopt(container, &plans);
        Ok(plans)
    }

    /// Takes note of ports that a container holds.
    pub fn adopt(&mut self, container: Id, ports: &[PortPlan]) {
        for port in ports {
            let key = (port.protocol, port.host_port);
            self.held.entry(key).or_default().push((port.host_ip, container));
            self.of.entry(container).or_default().push(key);
        }
    }

    /// Gives back some of a container's ports; what it does not hold is no error.
    pub fn give_back(&mut self, container: Id, ports: &[PortPlan]) {
        for port in ports {
            let key = (port.protocol, port.host_port);
            self.remove(key, |(ip, id)| *id == container && *ip == port.host_ip);
            if let Some(own) = self.of.get_mut(&container)
                && let Some(position) = own.iter().position(|known| *known == key)
            {
                own.swap_remove(position);
            }
        }
    }

    /// Gives back what a container holds.
    pub fn release(&mut self, container: Id) {
        for key in self.of.remove(&container).unwrap_or_default() {
            self.remove(key, |(_, id)| *id == container);
        }
    }

    fn remove(&mut self, key: (Protocol, u16), is_gone: impl Fn(&(IpAddr, Id)) -> bool) {
        if let Some(holders) = self.held.get_mut(&key) {
            holders.retain(|holder| !is_gone(holder));
            if holders.is_empty() {
                self.held.remove(&key);
            }
        }
    }

    fn choose(&mut self, request: &PortRequest, ips: &[IpAddr], name_of: &dyn Fn(Id) -> String) -> Result<u16> {
        let Some((first, last)) = request.host_ports else { return self.dynamic(request.protocol, ips) };
        let mut blocked = None;
        for port in first..=last {
            match self.holder(request.protocol, ips, port) {
                // A port that was asked for by its number is tried out by the monitor, which knows who is in the way.
                None if first == last || are_free_on_host(request.protocol, ips, port) => return Ok(port),
                holder => blocked = blocked.or(holder.map(|id| (port, name_of(id)))),
            }
        }
        Err(taken(request, ips, (first, last), blocked))
    }

    fn dynamic(&mut self, protocol: Protocol, ips: &[IpAddr]) -> Result<u16> {
        for _ in DYNAMIC {
            let port = self.next_dynamic.max(*DYNAMIC.start());
            self.next_dynamic = if port == *DYNAMIC.end() { *DYNAMIC.start() } else { port + 1 };
            if self.holder(protocol, ips, port).is_none() && are_free_on_host(protocol, ips, port) {
                return Ok(port);
            }
        }
        Err(Error::exhausted("all dynamic ports (49153 to 65535) are taken"))
    }

    fn holder(&self, protocol: Protocol, ips: &[IpAddr], port: u16) -> Option<Id> {
        let clash = |one: &IpAddr, other: &IpAddr| {
            one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
        };
        let holders = self.held.get(&(protocol, port))?;
        holders.iter().find(|(held, _)| ips.iter().any(|ip| clash(held, ip))).map(|(_, id)| *id)
    }
}

/// The addresses of the host to publish on, each with the container's address that it leads to.
fn pairs(request: &PortRequest, ways: Ways) -> Result<Vec<(IpAddr, IpAddr)>> {
    let (ipv4, ipv6) = (ways.ipv4.map(IpAddr::V4), ways.ipv6.map(IpAddr::V6));
    match request.host_ip {
        None => {
            let host4 = ways.host4.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let of_ipv4 = ipv4.map(|ip| (host4.into(), ip));
            Ok(of_ipv4.into_iter().chain(ipv6.map(|ip| (Ipv6Addr::UNSPECIFIED.into(), ip))).collect())
        }
        Some(host @ IpAddr::V6(_)) => Ok(ipv6.or(ipv4).map(|ip| (host, ip)).into_iter().collect()),
        Some(host) => {
            let sentence = || format!("cannot publish on {host}: the container has no IPv4 address");
            let no_ipv4 =
                || Error::invalid(sentence()).with_hint("publish on an IPv6 address, or on [::] for all of them");
            ipv4.map(|ip| vec![(host, ip)]).ok_or_else(no_ipv4)
        }
    }
}

fn taken(request: &PortRequest, ips: &[IpAddr], (first, last): (u16, u16), holder: Option<(u16, String)>) -> Error {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let ip = ips.first().map_or_else(String::new, |ip| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    let error = Error::conflict(format!("Bind for {ip}:{range} failed: port is already allocated"));
    match holder {
        Some((port, name)) => {
            error.with_hint(format!("{port}/{} is held by container {name}; publish another port", request.protocol))
        }
        None => error.with_hint("a program of the host holds it; publish another port"),
    }
}

/// A look that may be outdated a moment later: the monitor's reservation decides.
fn are_free_on_host(protocol: Protocol, ips: &[IpAddr], port: u16) -> bool {
    ips.iter().all(|ip| match protocol {
        Protocol::Tcp => TcpListener::bind((*ip, port)).is_ok(),
        Protocol::Udp => UdpSocket::bind((*ip, port)).is_ok(),
        Protocol::Sctp => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: Ways = Ways { ipv4: Some(Ipv4Addr::new(10, 0, 0, 2)), ipv6: None, host4: None };
    const DUAL: Ways = Ways { ipv6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)), ..INSIDE };

    fn request(host_ip: &str, host_ports: Option<(u16, u16)>) -> PortRequest {
        PortRequest { host_ip: host_ip.parse().ok(), host_ports, container_port: 80, protocol: Protocol::Tcp }
    }

    fn id(byte: u8) -> Id {
        Id::from_random([byte; 32])
    }

    fn hold(table: &mut PortTable, byte: u8, wanted: &[PortRequest]) -> Result<Vec<PortPlan>> {
        table.hold(id(byte), INSIDE, wanted, &|holder| format!("c{}", holder == id(1)))
    }

    #[test]
    fn a_port_is_held_once_per_address_and_the_holder_is_named() {
        let mut table = PortTable::default();
        hold(&mut table, 1, &[request("127.0.0.1", Some((81, 81)))]).unwrap();
        hold(&mut table, 2, &[request("127.0.0.2", Some((81, 81)))]).unwrap();
        let error = hold(&mut table, 3, &[request("0.0.0.0", Some((81, 81)))]).unwrap_err();
        assert_eq!(error.to_string(), "Bind for 0.0.0.0:81 failed: port is already allocated");
        assert_eq!(error.hint().unwrap(), "81/tcp is held by container ctrue; publish another port");
        table.release(id(1));
        table.release(id(2));
        hold(&mut table, 3, &[request("0.0.0.0", Some((81, 81)))]).unwrap();
    }

    #[test]
    fn all_or_nothing_is_held() {
        let mut table = PortTable::default();
        hold(&mut table, 1, &[request("", Some((82, 82)))]).unwrap();
        let both = [request("", Some((83, 83))), request("", Some((82, 82)))];
        hold(&mut table, 2, &both).unwrap_err();
        hold(&mut table, 3, &both[..1]).unwrap();
    }

    #[test]
    fn what_is_held_before_stays_when_more_cannot_be_had() {
        let mut table = PortTable::default();
        let first = hold(&mut table, 1, &[request("", Some((84, 84)))]).unwrap();
        hold(&mut table, 1, &[request("", Some((85, 85))), request("", Some((84, 84)))]).unwrap_err();
        hold(&mut table, 2, &[request("", Some((84, 84)))]).unwrap_err();
        hold(&mut table, 2, &[request("", Some((85, 85)))]).unwrap();
        table.give_back(id(1), &first);
        hold(&mut table, 2, &[request("", Some((84, 84)))]).unwrap();
        table.release(id(1));
        table.release(id(2));
        assert!(table.held.is_empty() && table.of.is_empty());
    }

    #[test]
    fn dynamic_ports_differ() {
        let mut table = PortTable::default();
        let plans = hold(&mut table, 1, &[request("127.0.0.1", None), request("127.0.0.1", None)]).unwrap();
        assert_ne!(plans[0].host_port, plans[1].host_port);
        assert!(DYNAMIC.contains(&plans[0].host_port));
    }

    #[test]
    fn both_families_get_the_same_port() {
        let mut table = PortTable::default();
        let mut publish = |host_ip| {
            let plans = table.hold(id(1), DUAL, &[request(host_ip, None)], &|_| String::new()).unwrap();
            assert!(plans.iter().all(|plan| plan.host_port == plans[0].host_port));
            plans.iter().map(|plan| format!("{} {}", plan.host_ip, plan.container_ip)).collect::<Vec<_>>()
        };
        assert_eq!(publish(""), ["0.0.0.0 10.0.0.2", ":: fd00::2"]);
        assert_eq!(publish("::1"), ["::1 fd00::2"]);
        assert_eq!(publish("127.0.0.1"), ["127.0.0.1 10.0.0.2"]);
        let bound = Ways { host4: Some(Ipv4Addr::LOCALHOST), ..DUAL };
        let plans =
            table.hold(id(3), bound, &[request("", None), request("127.0.0.2", None)], &|_| String::new()).unwrap();
        let hosts: Vec<String> = plans.iter().map(|plan| plan.host_ip.to_string()).collect();
        assert_eq!(hosts, ["127.0.0.1", "::", "127.0.0.2"]);
        let only6 = Ways { ipv4: None, ..DUAL };
        let mut on = |host_ip| table.hold(id(2), only6, &[request(host_ip, None)], &|_| String::new());
        assert_eq!(on("").unwrap()[0].host_ip, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        assert_eq!(on("0.0.0.0").unwrap_err().kind(), wharf_types::Kind::InvalidParameter);
    }
}
