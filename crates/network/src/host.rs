//! What the host's own network looks like.

use wharf_types::{Kind, Result, ResultExt};

use crate::netlink::Request;
use crate::rtnl::{RouteInfo, Rtnl, write_delete_link};
use crate::subnet::Subnet;

/// Ethernet's usual MTU in bytes, for a host without a default route.
const DEFAULT_MTU: u32 = 1500;
/// The smallest MTU in bytes that IPv6 allows (RFC 8200); an uplink below it is not taken as a model.
const SMALLEST_MTU: u32 = 1280;

/// The MTU in bytes of the interface that the default route uses (IPv4's, else IPv6's); 1500 when there is none.
///
/// # Errors
/// `System` when the kernel does not answer.
pub fn uplink_mtu() -> Result<u32> {
    let rtnl = Rtnl::open()?;
    let routes = rtnl.routes().context("cannot list the host's routes")?;
    let Some(index) = uplink(&routes) else { return Ok(DEFAULT_MTU) };
    let link = rtnl.link(index).context("cannot read the uplink's MTU")?;
    Ok(link.map(|link| link.mtu).filter(|mtu| *mtu >= SMALLEST_MTU).map_or(DEFAULT_MTU, |mtu| mtu.min(65_535)))
}

fn uplink(routes: &[RouteInfo]) -> Option<u32> {
    let defaults = routes.iter().filter(|route| route.is_default() && route.index.is_some());
    defaults.min_by_key(|route| (!route.destination.is_ipv4(), route.metric))?.index
}

/// The subnets of all addresses and routes of the host (default routes excepted), as [`crate::ipam::choose_subnet`]
/// wants them.
///
/// # Errors
/// `System` when the kernel does not answer.
pub fn used_subnets() -> Result<Vec<Subnet>> {
    let rtnl = Rtnl::open()?;
    let routes = rtnl.routes().context("cannot list the host's routes")?;
    let addresses = rtnl.addresses().context("cannot list the host's addresses")?;
    let mut used: Vec<Subnet> =
        routes.iter().filter(|route| !route.is_default()).map(|route| route.destination).collect();
    used.extend(addresses.iter().filter_map(|address| address.subnet()));
    used.sort_unstable();
    used.dedup();
    Ok(used)
}

/// Names of the host's interfaces that begin with `prefix`, for the census and for finding those of containers that
/// are gone.
///
/// # Errors
/// `System` when the kernel does not answer.
pub fn link_names(prefix: &str) -> Result<Vec<String>> {
    let links = Rtnl::open()?.links().context("cannot list the host's interfaces")?;
    Ok(links.into_iter().map(|link| link.name).filter(|name| name.starts_with(prefix)).collect())
}

/// Whether the host has an interface of this name. One system call or two; wrong only where none can be made.
pub fn link_exists(name: &str) -> bool {
    Rtnl::open().and_then(|rtnl| rtnl.index(name)).is_ok_and(|index| index.is_some())
}

/// Removes an interface of the host (with a veth pair's one side goes the other); one that does not exist is no error.
///
/// # Errors
/// `NotImplemented` for hardware.
pub fn remove_link(name: &str) -> Result<()> {
    let mut request = Request::new();
    write_delete_link(&mut request, name);
    match Rtnl::open()?.apply(&mut request) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove the interface {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, index: u32, metric: u32) -> RouteInfo {
        RouteInfo { destination: destination.parse().unwrap(), gateway: true, index: Some(index), metric }
    }

    #[test]
    fn the_uplink_is_the_best_default_route() {
        let routes =
            [route("::/0", 7, 0), route("10.0.0.0/8", 2, 0), route("0.0.0.0/0", 3, 600), route("0.0.0.0/0", 4, 100)];
        assert_eq!(uplink(&routes), Some(4));
        assert_eq!(uplink(&routes[..2]), Some(7));
        assert_eq!(uplink(&routes[1..2]), None);
    }
}
