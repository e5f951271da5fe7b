//! Links, addresses and routes over rtnetlink.

mod address;
mod link;
mod route;

use std::net::IpAddr;

use rustix::net::netdevice::name_to_index;
use wharf_types::{Error, Result, ResultExt};

pub(crate) use address::{AddressInfo, write_address};
#[cfg(test)]
pub(crate) use link::write_link_down;
pub(crate) use link::{
    BridgeSpec, LinkInfo, PeerSpec, VethSpec, kind_of, write_bridge, write_delete_link, write_link_change,
    write_link_up, write_master, write_pair, write_port_up, write_probe, write_settle, write_upper, write_veth,
    write_vlan,
};
pub(crate) use route::{RouteInfo, write_default_route, write_delete_default_route};

use crate::netlink::{Refusal, Request, Socket, accept};

/// Index of the loopback interface in every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// The rtnetlink socket of one network namespace.
#[derive(Debug)]
pub(crate) struct Rtnl(Socket);

impl Rtnl {
    /// Opens a socket in the calling thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        Socket::route().map(Self)
    }

    /// The index of an interface, `None` when there is no such name.
    pub(crate) fn index(&self, name: &str) -> Result<Option<u32>> {
        match name_to_index(&self.0, name) {
            Ok(index) => Ok(Some(index)),
            Err(rustix::io::Errno::NODEV) => Ok(None),
            Err(errno) => {
                Err(std::io::Error::from(errno)).with_context(|| format!("cannot find the network interface {name}"))
            }
        }
    }

    /// Sends all messages of a request and returns the refusals.
    pub(crate) fn send(&self, request: &mut Request) -> Result<Vec<Refusal>> {
        let last = request.count();
        if last == 0 { Ok(Vec::new()) } else { self.0.transact(request, last) }
    }

    /// Sends all messages; the first refusal is the error.
    pub(crate) fn apply(&self, request: &mut Request) -> Result<()> {
        accept(self.send(request)?)
    }

    /// All interfaces.
    pub(crate) fn links(&self) -> Result<Vec<LinkInfo>> {
        Ok(self.0.dump(link::write_dump, |payload, found| found.extend(LinkInfo::parse(payload)))?)
    }

    /// One interface, `None` when there is no such index.
    pub(crate) fn link(&self, index: u32) -> Result<Option<LinkInfo>> {
        let found = self.0.dump(
            |request| link::write_get(request, index),
            |payload, found: &mut Vec<LinkInfo>| found.extend(LinkInfo::parse(payload)),
        );
        match found.map_err(Error::from) {
            Ok(mut links) => Ok(links.pop()),
            Err(error) if error.kind() == wharf_types::Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All addresses.
    pub(crate) fn addresses(&self) -> Result<Vec<AddressInfo>> {
        Ok(self.0.dump(address::write_dump, |payload, found| found.extend(AddressInfo::parse(payload)))?)
    }

    /// All unicast routes of all tables except the local one.
    pub(crate) fn routes(&self) -> Result<Vec<RouteInfo>> {
        Ok(self.0.dump(route::write_dump, |payload, found| found.extend(RouteInfo::parse(payload)))?)
    }
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn with_octets(address: IpAddr, use_them: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(address) => use_them(&address.octets()),
        IpAddr::V6(address) => use_them(&address.octets()),
    }
}

fn to_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
