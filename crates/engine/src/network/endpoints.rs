//! The places of containers on networks: addresses, names of interfaces, ports.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_network::plan::{EndpointPlan, IpvlanMode, Link, PortPlan, SandboxPlan};
use wharf_network::{bridge_mac, endpoint_mac};
use wharf_types::{Error, Id, Result};

use super::options::Settings;
use super::ports::Ways;
use super::record::{Driver, Network};
use super::space::Space;
use super::wishes::{Wanted, Wishes};
use super::{Networks, PortRequest, Tables, not_found};
use crate::names;

impl Networks {
    /// Decides on addresses and ports for a container that is about to start, and makes its networks ready in the kernel.
    /// `wanted` is in the order in which interfaces get their names. What it holds is given back with
    /// [`Networks::release`].
    ///
    /// # Errors
    /// `Exhausted` without a free address, `Forbidden` for an address and `Conflict` for a port that is taken; nothing is
    /// held then.
    pub async fn plan(
        &self,
        container: Id,
        wanted: &[Wanted],
        ports: &[PortRequest],
        sysctls: Vec<(String, String)>,
    ) -> Result<SandboxPlan> {
        if wanted.iter().any(|wanted| wanted.network.driver == Driver::Host) {
            return Ok(SandboxPlan::Host);
        }
        let mut table = String::new();
        for wanted in wanted {
            if let Some(firewall) = self.make_ready(wanted.network.id).await? {
                table = firewall;
            }
        }
        let endpoints = self.give_all(container, wanted)?;
        let named = self.enter_all(container, wanted, &endpoints);
        let ports = named.and_then(|()| self.hold_ports(container, &endpoints, ports));
        let ports = ports.inspect_err(|_| self.release(container))?;
        self.tell_of(container, "connect", wanted.iter().map(|wanted| wanted.network.id));
        Ok(SandboxPlan::Own { endpoints, ports, table, sysctls })
    }

    /// Gives a container that runs a place on one more network; `names` are those of the interfaces that it has.
    ///
    /// # Errors
    /// As [`Networks::plan`].
    pub async fn attach(&self, container: Id, wanted: &Wanted, names: &[String]) -> Result<EndpointPlan> {
        self.make_ready(wanted.network.id).await?;
        let mut tables = self.tables();
        let endpoint = tables.give(container, wanted, names, self.kernel_prefix())?;
        if let Err(error) = tables.enter(container, wanted, &endpoint) {
            tables.take(container, wanted.network.id);
            return Err(error);
        }
        Ok(endpoint)
    }

    /// Takes a container's place on a network back; none is fine.
    pub fn detach(&self, container: Id, network: Id) {
        self.tables().take(container, network);
    }

    /// Takes note of what a container of an earlier engine holds. `names_on` tells its names on a network.
    pub(crate) fn adopt(
        &self,
        container: Id,
        name: &str,
        plan: &SandboxPlan,
        names_on: &dyn Fn(&Network) -> Vec<String>,
    ) {
        let mut tables = self.tables();
        tables.book.call(container, name);
        let SandboxPlan::Own { endpoints, ports, .. } = plan else { return };
        for endpoint in endpoints {
            tables.adopt(container, endpoint, names_on);
        }
        tables.ports.adopt(container, ports);
    }

    /// Gives back everything that a container holds; nothing is fine.
    pub fn release(&self, container: Id) {
        let left = {
            let mut tables = self.tables();
            let joined = tables.joined.get(&container).cloned().unwrap_or_default();
            joined.iter().for_each(|network| tables.take(container, *network));
            tables.ports.release(container);
            tables.book.forget(container);
            joined
        };
        self.tell_of(container, "disconnect", left);
    }

    /// Nobody finds the container any more; its addresses and ports stay its own.
    pub(crate) fn silence(&self, container: Id) {
        let mut tables = self.tables();
        for network in tables.joined.get(&container).cloned().unwrap_or_default() {
            tables.erase(container, network);
        }
    }

    /// A container has another name. `names_on` tells all its names on a network.
    pub(crate) fn rename(&self, container: Id, name: &str, names_on: &dyn Fn(&Network) -> Vec<String>) -> Result<()> {
        let mut tables = self.tables();
        let tables = &mut *tables;
        tables.book.call(container, name);
        let joined = tables.joined.get(&container).into_iter().flatten();
        for network in joined.filter_map(|id| tables.networks.get(id)) {
            tables.book.rename(network.id, container, names_on(network))?;
        }
        Ok(())
    }

    /// The file with the names of a network.
    pub(crate) fn names_file(&self, network: Id) -> std::path::PathBuf {
        self.tables().book.path(network)
    }

    /// Takes note of a container's name, for sentences about it.
    pub(crate) fn call(&self, container: Id, name: &str) {
        self.tables().book.call(container, name);
    }

    fn enter_all(&self, container: Id, wanted: &[Wanted], endpoints: &[EndpointPlan]) -> Result<()> {
        let mut tables = self.tables();
        for wanted in wanted {
            let id = wanted.network.id.to_string();
            if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.network == id) {
                tables.enter(container, wanted, endpoint)?;
            }
        }
        Ok(())
    }

    /// Holds further ports for a container that runs, and gives others back.
    ///
    /// # Errors
    /// As [`Networks::plan`]; then everything is held as before.
    pub(crate) fn exchange_ports(
        &self,
        container: Id,
        endpoints: &[EndpointPlan],
        gone: &[PortPlan],
        wanted: &[PortRequest],
    ) -> Result<Vec<PortPlan>> {
        self.tables().ports.give_back(container, gone);
        let held = self.hold_ports(container, endpoints, wanted);
        if held.is_err() {
            self.tables().ports.adopt(container, gone);
        }
        held
    }

    /// Undoes [`Networks::exchange_ports`].
    pub(crate) fn exchange_ports_back(&self, container: Id, gone: &[PortPlan], new: &[PortPlan]) {
        let mut tables = self.tables();
        tables.ports.give_back(container, new);
        tables.ports.adopt(container, gone);
    }

    /// Tells everyone that a container came to networks or left them.
    pub fn tell_of(&self, container: Id, action: &str, networks: impl IntoIterator<Item = Id>) {
        for network in networks.into_iter().filter_map(|id| self.network(id).ok()) {
            self.tell(action, &network, [("container".to_owned(), container.to_string())]);
        }
    }

    fn give_all(&self, container: Id, wanted: &[Wanted]) -> Result<Vec<EndpointPlan>> {
        let mut tables = self.tables();
        let mut given: Vec<(&Wanted, EndpointPlan)> = Vec::with_capacity(wanted.len());
        let mut names: Vec<String> = wanted.iter().filter_map(|wanted| wanted.wishes.interface.clone()).collect();
        for wanted in wanted.iter().filter(|wanted| wanted.network.driver.has_endpoints()) {
            match tables.give(container, wanted, &names, self.kernel_prefix()) {
                Ok(endpoint) => {
                    names.push(endpoint.container_name.clone());
                    given.push((wanted, endpoint));
                }
                Err(error) => {
                    let joined = tables.joined.get(&container).cloned().unwrap_or_default();
                    joined.iter().for_each(|network| tables.take(container, *network));
                    return Err(error);
                }
            }
        }
        given.sort_by_key(|(wanted, _)| precedence(&wanted.wishes, &wanted.network.name));
        Ok(given.into_iter().map(|(_, endpoint)| endpoint).collect())
    }

    fn hold_ports(&self, container: Id, endpoints: &[EndpointPlan], wanted: &[PortRequest]) -> Result<Vec<PortPlan>> {
        let bridged = || endpoints.iter().filter(|endpoint| endpoint.link == Link::Veth);
        let by_ipv4 = bridged().find(|endpoint| endpoint.gateway4.is_some());
        let ways = Ways {
            ipv4: by_ipv4.and_then(|endpoint| Some(endpoint.ipv4?.0)),
            ipv6: bridged().find(|endpoint| endpoint.gateway6.is_some()).and_then(|endpoint| Some(endpoint.ipv6?.0)),
            host4: by_ipv4.and_then(|endpoint| self.host_binding(&endpoint.network)),
        };
        if ways == Ways::default() {
            return Ok(Vec::new());
        }
        let mut tables = self.tables();
        let Tables { ports, book, .. } = &mut *tables;
        ports.hold(container, ways, wanted, &|id| book.name(id))
    }

    /// The host's address on which a network's containers publish where they name none.
    fn host_binding(&self, network: &str) -> Option<Ipv4Addr> {
        let network = self.network(network.parse().ok()?).ok()?;
        Settings::of(&network).ok()?.host_binding
    }
}

/// By which networks give the default route: the highest priority, then the first name, as with Docker.
pub fn precedence<'a>(wishes: &Wishes, network: &'a str) -> (Reverse<i64>, &'a str) {
    (Reverse(wishes.priority), network)
}

impl Tables {
    /// Gives a container a place on a network.
    fn give(&mut self, container: Id, wanted: &Wanted, names: &[String], prefix: &str) -> Result<EndpointPlan> {
        let id = wanted.network.id;
        let network = self.networks.get(&id).ok_or_else(|| not_found(&wanted.network.name))?;
        let space = self.spaces.get_mut(&id).ok_or_else(|| not_found(&wanted.network.name))?;
        let settings = Settings::of(network)?;
        let mut endpoint = blank(network, &settings, wanted, names, prefix)?;
        address(&mut endpoint, network, space, &wanted.wishes)?;
        if network.internal || endpoint.direct {
            (endpoint.gateway4, endpoint.gateway6) = (None, None);
        }
        self.joined.entry(container).or_default().push(id);
        self.endpoints.entry(id).or_default().insert(container, endpoint.clone());
        Ok(endpoint)
    }

    /// Makes a container known under its names on a network.
    fn enter(&mut self, container: Id, wanted: &Wanted, endpoint: &EndpointPlan) -> Result<()> {
        if wanted.names.is_empty() {
            return Ok(());
        }
        let Network { id, name, .. } = &wanted.network;
        self.book.enter(*id, name, container, wanted.names.clone(), addresses(endpoint).collect());
        self.book.write(*id)
    }

    fn erase(&mut self, container: Id, network: Id) {
        if let Err(error) = self.book.leave(network, container) {
            tracing::warn!(%container, problem = %error.chain(), "its names are still known");
        }
    }

    fn take(&mut self, container: Id, network: Id) {
        self.erase(container, network);
        let endpoint = self.endpoints.get_mut(&network).and_then(|on| on.remove(&container));
        if let (Some(endpoint), Some(space)) = (endpoint, self.spaces.get_mut(&network)) {
            addresses(&endpoint).for_each(|address| space.release(address));
        }
        if let Some(joined) = self.joined.get_mut(&container) {
            joined.retain(|id| *id != network);
            if joined.is_empty() {
                self.joined.remove(&container);
            }
        }
    }

    fn adopt(&mut self, container: Id, endpoint: &EndpointPlan, names_on: &dyn Fn(&Network) -> Vec<String>) {
        let named = endpoint.network.parse::<Id>().ok();
        // A plan of an engine that knew one network names none: its bridge tells.
        let behind = || self.networks.values().find(|network| network.bridge.as_ref() == Some(&endpoint.bridge));
        let Some(network) = named.or_else(|| behind().map(|network| network.id)) else { return };
        if let Some(known) = self.networks.get(&network) {
            let names = names_on(known);
            if !names.is_empty() {
                self.book.enter(network, &known.name, container, names, addresses(endpoint).collect());
            }
        }
        let Some(space) = self.spaces.get_mut(&network) else { return };
        for address in addresses(endpoint) {
            // It is in use, whatever the allocator thinks of it.
            drop(space.claim(address));
        }
        self.joined.entry(container).or_default().push(network);
        self.endpoints.entry(network).or_default().insert(container, endpoint.clone());
    }
}

fn addresses(endpoint: &EndpointPlan) -> impl Iterator<Item = IpAddr> {
    let ipv4 = endpoint.ipv4.map(|(address, _)| IpAddr::V4(address));
    ipv4.into_iter().chain(endpoint.ipv6.map(|(address, _)| IpAddr::V6(address)))
}

/// An endpoint without addresses.
fn blank(
    network: &Network,
    settings: &Settings,
    wanted: &Wanted,
    names: &[String],
    prefix: &str,
) -> Result<EndpointPlan> {
    let no_link = || Error::system(format!("network {} has no interface on the host", network.name));
    let id = Id::from_random(names::random());
    let wishes = &wanted.wishes;
    let container_name = match &wishes.interface {
        Some(name) => name.clone(),
        None => free_name(&settings.prefix, names)?,
    };
    let is_veth = settings.link == Link::Veth;
    let in_name = container_name.replace('.', "/");
    Ok(EndpointPlan {
        id: id.to_string(),
        network: network.id.to_string(),
        link: settings.link,
        bridge: network.bridge.clone().ok_or_else(no_link)?,
        host_name: if is_veth { format!("vh{prefix}{}", id.prefix(8)) } else { String::new() },
        link_local: wishes
            .link_local
            .iter()
            .map(|address| (*address, if address.is_ipv4() { 16 } else { 64 }))
            .collect(),
        direct: matches!(settings.link, Link::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _)) && !network.internal,
        mtu: if is_veth { network.mtu } else { settings.mtu.unwrap_or(0) },
        sysctls: wishes.sysctls.iter().map(|(name, value)| (name.replace("IFNAME", &in_name), value.clone())).collect(),
        container_name,
        ..EndpointPlan::default()
    })
}

fn free_name(prefix: &str, taken: &[String]) -> Result<String> {
    let mut names = (0..u16::MAX).map(|number| format!("{prefix}{number}"));
    names
        .find(|name| !taken.contains(name))
        .ok_or_else(|| Error::exhausted("no name is left for another network interface of the container"))
}

/// Gives an endpoint its addresses; none when one of them cannot be given.
fn address(endpoint: &mut EndpointPlan, network: &Network, space: &mut Space, wishes: &Wishes) -> Result<()> {
    if network.enable_ipv4 {
        let given = match wishes.ipv4 {
            Some(wanted) => space.claim(wanted.into())?,
            None => space.allocate(network, true)?,
        };
        if let IpAddr::V4(address) = given.address {
            endpoint.ipv4 = Some((address, given.prefix));
            endpoint.gateway4 = given.gateway.and_then(only4);
        }
    }
    if network.enable_ipv6 {
        let given = match wishes.ipv6 {
            Some(wanted) => space.claim(wanted.into()),
            None => space.allocate(network, false),
        };
        let given = given.inspect_err(|_| addresses(endpoint).for_each(|address| space.release(address)))?;
        if let IpAddr::V6(address) = given.address {
            endpoint.ipv6 = Some((address, given.prefix));
            endpoint.gateway6 = given.gateway.and_then(only6);
        }
    }
    endpoint.mac = match (wishes.mac, endpoint.ipv4, endpoint.ipv6) {
        (Some(mac), ..) => mac,
        (None, Some((address, _)), _) => endpoint_mac(address),
        (None, None, Some((address, _))) => bridge_mac(address.into()),
        (None, None, None) => endpoint_mac(Ipv4Addr::UNSPECIFIED),
    };
    Ok(())
}

fn only4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

fn only6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address { Some(address) } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::record::Pool;
    use super::*;

    fn network(name: &str, subnet: &str) -> Network {
        let subnet: wharf_network::Subnet = subnet.parse().unwrap();
        let gateway = wharf_network::ipam::Allocator::default_gateway(subnet, None).ok();
        let pools = vec![Pool { subnet, range: None, gateway, reserved: Vec::new() }];
        let bridge = Some(format!("wh{name}"));
        Network { pools, bridge, mtu: 1400, ..Network::new(names::fresh_id(), name, Driver::Bridge) }
    }

    fn tables(networks: &[&Network]) -> Tables {
        let mut tables = Tables::new(&crate::Config::new("/nowhere", "/nowhere"));
        networks.iter().for_each(|network| tables.insert((*network).clone()).unwrap());
        tables
    }

    fn wanted(network: &Network) -> Wanted {
        Wanted { network: network.clone(), wishes: Wishes::default(), names: Vec::new() }
    }

    #[test]
    fn what_is_given_is_taken_back_by_network() {
        let (one, two) = (network("a", "10.0.0.0/29"), network("b", "10.0.1.0/29"));
        let (mut tables, container) = (tables(&[&one, &two]), names::fresh_id());
        let first = tables.give(container, &wanted(&one), &[], "abcd").unwrap();
        let second =
            tables.give(container, &wanted(&two), std::slice::from_ref(&first.container_name), "abcd").unwrap();
        assert_eq!((first.container_name.as_str(), second.container_name.as_str()), ("eth0", "eth1"));
        assert_eq!(first.ipv4, Some(([10, 0, 0, 2].into(), 29)));
        assert!(first.host_name.len() <= 15 && first.host_name != second.host_name);
        tables.take(container, one.id);
        assert!(!tables.is_in_use(one.id) && tables.is_in_use(two.id));
        let other = names::fresh_id();
        let ip = Wishes { ipv4: Some([10, 0, 0, 2].into()), ..Wishes::default() };
        let again = Wanted { network: one.clone(), wishes: ip, names: Vec::new() };
        tables.give(other, &again, &[], "abcd").unwrap();
        assert_eq!(tables.give(container, &again, &[], "abcd").unwrap_err().to_string(), "Address already in use");
        assert!(!tables.joined[&container].contains(&one.id));
    }

    #[test]
    fn five_hundred_places_have_five_hundred_addresses_and_come_back_after_a_restart() {
        let one = network("a", "10.0.0.0/16");
        let mut tables = tables(&[&one]);
        let ids: Vec<Id> = (0..500).map(|_| names::fresh_id()).collect();
        let mut plans: Vec<EndpointPlan> =
            ids.iter().map(|id| tables.give(*id, &wanted(&one), &[], "abcd").unwrap()).collect();
        let mut next = self::tables(&[&one]);
        ids.iter().zip(&plans).for_each(|(id, plan)| next.adopt(*id, plan, &|_| Vec::new()));
        plans.push(next.give(names::fresh_id(), &wanted(&one), &[], "abcd").unwrap());
        let different: std::collections::HashSet<_> = plans.iter().map(|plan| plan.ipv4).collect();
        assert_eq!(different.len(), 501);
        assert_eq!(next.endpoints[&one.id].len(), 501);
    }

    #[test]
    fn no_address_is_lost_when_the_other_family_has_none() {
        let mut both = network("a", "10.0.0.0/30");
        both.enable_ipv6 = true;
        let mut tables = tables(&[&both]);
        assert!(tables.give(names::fresh_id(), &wanted(&both), &[], "abcd").is_err());
        both.enable_ipv6 = false;
        tables.networks.insert(both.id, both.clone());
        assert!(tables.give(names::fresh_id(), &wanted(&both), &[], "abcd").is_ok());
    }

    #[test]
    fn the_highest_priority_comes_first_then_the_name() {
        let with = |priority| Wishes { priority, ..Wishes::default() };
        let mut all = [(with(0), "b"), (with(0), "a"), (with(5), "z"), (with(-1), "0")];
        all.sort_by(|(a, x), (b, y)| precedence(a, x).cmp(&precedence(b, y)));
        assert_eq!(all.map(|(_, name)| name), ["z", "a", "b", "0"]);
    }
}
