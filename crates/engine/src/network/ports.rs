//! Which host ports this engine's containers hold.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use wharf_network::plan::{PortPlan, Protocol};
use wharf_types::{Error, Id, Result};

/// Ports handed out when the person left the choice to the engine: IANA's dynamic range.
const DYNAMIC: std::ops::RangeInclusive<u16> = 49153..=65535;

/// A port that a person wants to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// Host address; the unspecified one publishes on all.
    pub host_ip: IpAddr,
    /// First and last acceptable host port; `None` leaves the choice to the engine.
    pub host_ports: Option<(u16, u16)>,
    /// Port inside the container.
    pub container_port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// The ports held, by protocol and number.
#[derive(Default)]
pub struct PortTable {
    held: HashMap<(Protocol, u16), Vec<(IpAddr, Id)>>,
    next_dynamic: u16,
}

impl PortTable {
    /// Holds all the wanted ports or none.
    pub fn hold(&mut self, container: Id, address: IpAddr, wanted: &[PortRequest]) -> Result<Vec<PortPlan>> {
        let mut plans = Vec::with_capacity(wanted.len());
        for request in wanted {
            match self.choose(request) {
                Ok(host_port) => {
                    let PortRequest { host_ip, container_port, protocol, .. } = *request;
                    self.insert(container, protocol, host_ip, host_port);
                    plans.push(PortPlan { host_ip, host_port, container_ip: address, container_port, protocol });
                }
                Err(error) => {
                    self.release(container);
                    return Err(error);
                }
            }
        }
        Ok(plans)
    }

    /// Takes note of ports that a container of an earlier engine holds.
    pub fn adopt(&mut self, container: Id, ports: &[PortPlan]) {
        for port in ports {
            self.insert(container, port.protocol, port.host_ip, port.host_port);
        }
    }

    /// Gives back what a container holds.
    pub fn release(&mut self, container: Id) {
        self.held.retain(|_, holders| {
            holders.retain(|(_, id)| *id != container);
            !holders.is_empty()
        });
    }

    fn insert(&mut self, container: Id, protocol: Protocol, ip: IpAddr, port: u16) {
        self.held.entry((protocol, port)).or_default().push((ip, container));
    }

    fn choose(&mut self, request: &PortRequest) -> Result<u16> {
        let Some((first, last)) = request.host_ports else { return self.dynamic(request) };
        let mut blocked = None;
        for port in first..=last {
            match self.holder(request, port) {
                None if first == last || is_free_on_host(request, port) => return Ok(port),
                holder => blocked = blocked.or(holder),
            }
        }
        Err(taken(request, first, last, blocked))
    }

    fn dynamic(&mut self, request: &PortRequest) -> Result<u16> {
        for _ in DYNAMIC {
            let port = self.next_dynamic.max(*DYNAMIC.start());
            self.next_dynamic = if port == *DYNAMIC.end() { *DYNAMIC.start() } else { port + 1 };
            if self.holder(request, port).is_none() && is_free_on_host(request, port) {
                return Ok(port);
            }
        }
        Err(Error::exhausted("all dynamic ports (49153 to 65535) are taken"))
    }

    fn holder(&self, request: &PortRequest, port: u16) -> Option<Id> {
        let clashes = |ip: &IpAddr| *ip == request.host_ip || ip.is_unspecified() || request.host_ip.is_unspecified();
        let holders = self.held.get(&(request.protocol, port))?;
        holders.iter().find(|(ip, _)| clashes(ip)).map(|(_, id)| *id)
    }
}

fn taken(request: &PortRequest, first: u16, last: u16, holder: Option<Id>) -> Error {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let error = Error::conflict(format!("Bind for {}:{range} failed: port is already allocated", request.host_ip));
    match holder {
        Some(id) => error.with_hint(format!("container {} holds it; choose another host port", id.short())),
        None => error.with_hint("a program of the host holds it; choose another host port"),
    }
}

/// A look that may be outdated a moment later: the monitor's reservation decides.
fn is_free_on_host(request: &PortRequest, port: u16) -> bool {
    let ip = if request.host_ip.is_ipv4() { request.host_ip } else { Ipv4Addr::UNSPECIFIED.into() };
    match request.protocol {
        Protocol::Tcp => TcpListener::bind((ip, port)).is_ok(),
        Protocol::Udp => UdpSocket::bind((ip, port)).is_ok(),
        Protocol::Sctp => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host_ip: &str, host_ports: Option<(u16, u16)>) -> PortRequest {
        PortRequest { host_ip: host_ip.parse().unwrap(), host_ports, container_port: 80, protocol: Protocol::Tcp }
    }

    fn id(byte: u8) -> Id {
        Id::from_random([byte; 32])
    }

    #[test]
    fn a_port_is_held_once_per_address() {
        let (mut table, inside) = (PortTable::default(), "10.0.0.2".parse().unwrap());
        table.hold(id(1), inside, &[request("127.0.0.1", Some((81, 81)))]).unwrap();
        table.hold(id(2), inside, &[request("127.0.0.2", Some((81, 81)))]).unwrap();
        let error = table.hold(id(3), inside, &[request("0.0.0.0", Some((81, 81)))]).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:81 failed: port is already allocated"), "{error}");
        assert!(error.hint().unwrap().contains("container"), "{error:?}");
        table.release(id(1));
        table.release(id(2));
        table.hold(id(3), inside, &[request("0.0.0.0", Some((81, 81)))]).unwrap();
    }

    #[test]
    fn all_or_nothing_is_held() {
        let (mut table, inside) = (PortTable::default(), "10.0.0.2".parse().unwrap());
        table.hold(id(1), inside, &[request("0.0.0.0", Some((82, 82)))]).unwrap();
        let both = [request("0.0.0.0", Some((83, 83))), request("0.0.0.0", Some((82, 82)))];
        table.hold(id(2), inside, &both).unwrap_err();
        table.hold(id(3), inside, &both[..1]).unwrap();
    }

    #[test]
    fn dynamic_ports_differ() {
        let (mut table, inside) = (PortTable::default(), "10.0.0.2".parse().unwrap());
        let plans = table.hold(id(1), inside, &[request("127.0.0.1", None), request("127.0.0.1", None)]).unwrap();
        assert_ne!(plans[0].host_port, plans[1].host_port);
        assert!(DYNAMIC.contains(&plans[0].host_port));
    }
}
