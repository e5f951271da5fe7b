//! The bridge of a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_types::{Error, Result, ResultExt};

use crate::host::remove_link;
use crate::netlink::{Request, accept};
use crate::rtnl::{
    AddressInfo, BridgeSpec, LinkInfo, Rtnl, write_address, write_bridge, write_link_change, write_master,
    write_port_up,
};
use crate::subnet::Subnet;
use crate::sysctl;

/// The longest name in bytes of an interface (`IFNAMSIZ` less the final zero).
pub(crate) const LONGEST_NAME: usize = 15;

/// What a network's bridge looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConfig {
    /// Name of the interface, at most 15 bytes.
    pub name: String,
    /// The gateway's address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// The gateway's IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
    /// A note on a bridge that is created, by which its engine knows it for its own; empty for none.
    pub note: String,
}

impl BridgeConfig {
    fn addresses(&self) -> Vec<(IpAddr, u8)> {
        let v4 = self.ipv4.map(|(address, prefix)| (address.into(), prefix));
        let v6 = self.ipv6.map(|(address, prefix)| (address.into(), prefix));
        v4.into_iter().chain(v6).collect()
    }

    /// From the gateway's address; for a bridge without one, from its name.
    fn mac(&self) -> [u8; 6] {
        match self.addresses().first() {
            Some((gateway, _)) => bridge_mac(*gateway),
            None => endpoint_mac(Ipv4Addr::from(fnv(self.name.as_bytes()))),
        }
    }
}

/// A bridge that exists on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Name of the interface.
    pub name: String,
    /// Kernel's index of the interface.
    pub index: u32,
}

impl Bridge {
    /// Creates the bridge, or adopts the one that is there, gives it its addresses and lets the host forward. Safe to
    /// repeat.
    ///
    /// # Errors
    /// `Conflict` when another interface or route of the host overlaps a subnet, when the name belongs to something
    /// that is not a bridge, or when the bridge has another address; `InvalidParameter` for an impossible name.
    pub fn ensure(config: &BridgeConfig) -> Result<Bridge> {
        check_name(&config.name)?;
        let rtnl = Rtnl::open()?;
        let existing = find(&rtnl, &config.name)?;
        check_overlap(&rtnl, config, existing.as_ref().map(|link| link.index))?;
        let created = existing.is_none();
        let bridge = Bridge { name: config.name.clone(), index: place(&rtnl, config, existing)? };
        match set_up(&rtnl, config, &bridge) {
            Ok(()) => Ok(bridge),
            Err(error) if created => {
                // The first error is the one to tell; a bridge that cannot be removed either is found by the next
                // ensure.
                let _ = Bridge::remove(&config.name);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes these interfaces its ports, which they cease to be when a bridge is deleted. Those that do not exist are
    /// left out.
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn take_ports(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let rtnl = Rtnl::open()?;
        let has_ipv6 = sysctl::has_ipv6();
        let mut request = Request::new();
        for name in names {
            write_master(&mut request, name, self.index);
            write_port_up(&mut request, name, has_ipv6);
        }
        let mut refusals = rtnl.send(&mut request)?;
        refusals.retain(|refusal| refusal.errno != libc::ENODEV);
        accept(refusals).with_context(|| format!("cannot connect containers to the bridge {}", self.name))
    }

    /// Removes the bridge; one that does not exist is no error.
    ///
    /// # Errors
    /// `Conflict` when the name belongs to something that is not a bridge.
    pub fn remove(name: &str) -> Result<()> {
        let rtnl = Rtnl::open()?;
        if find(&rtnl, name)?.is_none() {
            return Ok(());
        }
        remove_link(name)
    }

    /// Names of all bridges of the host that begin with `prefix`.
    pub fn list(prefix: &str) -> Result<Vec<String>> {
        let links = Rtnl::open()?.links().context("cannot list the host's interfaces")?;
        let bridges = links.into_iter().filter(|link| link.kind == "bridge" && link.name.starts_with(prefix));
        Ok(bridges.map(|link| link.name).collect())
    }
}

/// The hardware address of an endpoint, from its IPv4 address as Docker does it: `02:42:` and the four bytes.
pub fn endpoint_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The hardware address of a bridge, from its gateway address, so that it is the same after a restart.
pub fn bridge_mac(gateway: IpAddr) -> [u8; 6] {
    match gateway {
        IpAddr::V4(address) => endpoint_mac(address),
        IpAddr::V6(address) => endpoint_mac(Ipv4Addr::from(fnv(&address.octets()))),
    }
}

/// FNV-1a: spreads names and long addresses over hardware addresses.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Refuses what cannot be the name of a bridge.
///
/// # Errors
/// `InvalidParameter`.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) || matches!(name, "." | "..") {
        return Err(Error::invalid(format!("invalid bridge name '{name}'"))
            .with_hint("an interface name has 1 to 15 printable characters without '/' and ':'"));
    }
    Ok(())
}

fn find(rtnl: &Rtnl, name: &str) -> Result<Option<LinkInfo>> {
    let Some(index) = rtnl.index(name)? else { return Ok(None) };
    match rtnl.link(index)? {
        Some(link) if link.kind != "bridge" => {
            Err(Error::conflict(format!("cannot use the interface {name} as a bridge: it is not one"))
                .with_hint(format!("'ip -d link show {name}' tells what it is")))
        }
        link => Ok(link),
    }
}

/// Refuses a subnet that would take packets away from another interface, or lose some to it. A wider route by way of
/// a router is no conflict: the bridge's is more specific.
fn check_overlap(rtnl: &Rtnl, config: &BridgeConfig, own: Option<u32>) -> Result<()> {
    let wanted: Vec<Subnet> =
        config.addresses().into_iter().map(|(address, prefix)| Subnet::new(address, prefix)).collect::<Result<_>>()?;
    let addresses = rtnl.addresses().context("cannot list the host's addresses")?;
    let routes = rtnl.routes().context("cannot list the host's routes")?;
    let of_addresses =
        addresses.iter().filter(|a| Some(a.index) != own).filter_map(|a| Some((Some(a.index), a.subnet()?)));
    let of_routes = routes
        .iter()
        .filter(|route| !route.is_default() && (route.index.is_none() || route.index != own))
        .filter(|route| !route.gateway || wanted.iter().any(|subnet| route.destination.prefix() >= subnet.prefix()))
        .map(|route| (route.index, route.destination));
    for (index, used) in of_addresses.chain(of_routes) {
        if let Some(subnet) = wanted.iter().find(|subnet| subnet.overlaps(&used)) {
            return Err(overlap(rtnl, config, subnet, &used, index));
        }
    }
    Ok(())
}

fn overlap(rtnl: &Rtnl, config: &BridgeConfig, subnet: &Subnet, used: &Subnet, index: Option<u32>) -> Error {
    let link = index.and_then(|index| rtnl.link(index).ok().flatten());
    let holder = link.map_or_else(String::new, |link| format!(" of {}", link.name));
    Error::conflict(format!("the subnet {subnet} of bridge {} overlaps with {used}{holder} on this host", config.name))
        .with_hint("choose another subnet, or remove the address or route ('ip address', 'ip route')")
}

/// Creates the bridge, or corrects the existing one, and returns its index.
fn place(rtnl: &Rtnl, config: &BridgeConfig, existing: Option<LinkInfo>) -> Result<u32> {
    let mut request = Request::new();
    match &existing {
        None => write_bridge(
            &mut request,
            &BridgeSpec { name: &config.name, mac: config.mac(), mtu: config.mtu, alias: &config.note },
        ),
        Some(link) if link.up && link.mtu == config.mtu && link.mac == config.mac() => return Ok(link.index),
        Some(link) => write_link_change(&mut request, link.index, config.mtu, config.mac()),
    }
    rtnl.apply(&mut request).with_context(|| format!("cannot set up the bridge {}", config.name))?;
    let index = existing.map(|link| link.index).map_or_else(|| rtnl.index(&config.name), |index| Ok(Some(index)))?;
    index.ok_or_else(|| Error::system(format!("the bridge {} vanished while it was set up", config.name)))
}

fn set_up(rtnl: &Rtnl, config: &BridgeConfig, bridge: &Bridge) -> Result<()> {
    // Before the addresses, so that no router advertisement of a container is ever taken.
    sysctl::write_if_present(&format!("ipv6/conf/{}/accept_ra", bridge.name), "0")?;
    add_addresses(rtnl, config, bridge)?;
    if config.ipv4.is_some() {
        // Lets connections to 127.0.0.1 be sent to a container; the firewall's guard chain keeps the other direction
        // shut.
        sysctl::switch_on(&format!("ipv4/conf/{}/route_localnet", bridge.name))?;
        sysctl::switch_on("ipv4/ip_forward")?;
    }
    if config.ipv6.is_some() { forward_ipv6(rtnl) } else { Ok(()) }
}

fn add_addresses(rtnl: &Rtnl, config: &BridgeConfig, bridge: &Bridge) -> Result<()> {
    let all = rtnl.addresses().context("cannot list the host's addresses")?;
    let present: Vec<&AddressInfo> = all.iter().filter(|address| address.index == bridge.index).collect();
    let mut request = Request::new();
    for (address, prefix) in config.addresses() {
        let same_family =
            present.iter().filter(|found| found.address.is_ipv4() == address.is_ipv4() && !is_link_local(found));
        let found: Vec<_> = same_family.collect();
        if found.iter().any(|found| (found.address, found.prefix) == (address, prefix)) {
            continue;
        }
        if let Some(other) = found.first() {
            return Err(Error::conflict(format!(
                "the bridge {} has the address {}/{} instead of {address}/{prefix}",
                bridge.name, other.address, other.prefix
            ))
            .with_hint(format!("remove it with 'ip link delete {}' if nothing uses it", bridge.name)));
        }
        write_address(&mut request, bridge.index, address, prefix);
    }
    rtnl.apply(&mut request).with_context(|| format!("cannot give the bridge {} its addresses", bridge.name))
}

fn is_link_local(address: &AddressInfo) -> bool {
    matches!(address.address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// A host that forwards stops taking router advertisements unless `accept_ra` is 2: whoever relies on them keeps them.
fn forward_ipv6(rtnl: &Rtnl) -> Result<()> {
    if sysctl::read("ipv6/conf/all/forwarding")?.trim() != "0" {
        return Ok(());
    }
    for link in rtnl.links().context("cannot list the host's interfaces")? {
        let path = format!("ipv6/conf/{}/accept_ra", link.name);
        if sysctl::read(&path).is_ok_and(|value| value.trim() == "1") {
            sysctl::write_if_present(&path, "2")?;
        }
    }
    sysctl::switch_on("ipv6/conf/all/forwarding")
}
