//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{family, to_address, with_octets};
use crate::netlink::{Attributes, Request};
use crate::subnet::Subnet;

/// One unicast route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteInfo {
    /// Where it leads to; prefix length 0 for a default route.
    pub(crate) destination: Subnet,
    /// Whether packets go to a router, rather than to the destination itself.
    pub(crate) gateway: bool,
    /// Outgoing interface, of the first path when there are several.
    pub(crate) index: Option<u32>,
    /// Metric: the smallest wins.
    pub(crate) metric: u32,
}

/// `struct rtmsg` is twelve bytes: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
const HEADER: usize = 12;

impl RouteInfo {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_at_checked(HEADER)?;
        let attributes = Attributes(attributes);
        let table = attributes.host32(libc::RTA_TABLE).unwrap_or_else(|| u32::from(header[4]));
        if header[7] != libc::RTN_UNICAST || table == u32::from(libc::RT_TABLE_LOCAL) {
            return None;
        }
        let base = match attributes.get(libc::RTA_DST) {
            Some(bytes) => to_address(bytes)?,
            None if i32::from(header[0]) == libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            None => Ipv6Addr::UNSPECIFIED.into(),
        };
        let multipath = attributes.get(libc::RTA_MULTIPATH);
        Some(RouteInfo {
            destination: Subnet::new(base, header[1]).ok()?,
            gateway: [libc::RTA_GATEWAY, libc::RTA_VIA].iter().any(|kind| attributes.get(*kind).is_some())
                || multipath.is_some(),
            index: attributes.host32(libc::RTA_OIF).or_else(|| first_path(multipath?)),
            metric: attributes.host32(libc::RTA_PRIORITY).unwrap_or(0),
        })
    }

    /// Whether this is a default route.
    pub(crate) fn is_default(&self) -> bool {
        self.destination.prefix() == 0
    }
}

/// The interface of the first `struct rtnexthop`: length, flags, hops, index.
fn first_path(multipath: &[u8]) -> Option<u32> {
    multipath.get(4..8)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Sets the family's default route: by way of `gateway`, or straight into the interface where `gateway` is the
/// unspecified address.
pub(crate) fn write_default_route(request: &mut Request, index: u32, gateway: IpAddr) {
    request.begin(libc::RTM_NEWROUTE, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
    let direct = gateway.is_unspecified();
    let scope = if direct && gateway.is_ipv4() { libc::RT_SCOPE_LINK } else { libc::RT_SCOPE_UNIVERSE };
    request.fixed(&default_header(gateway, scope));
    if !direct {
        with_octets(gateway, |octets| {
            request.bytes(libc::RTA_GATEWAY, octets);
        });
    }
    request.host32(libc::RTA_OIF, index);
}

/// Removes the default route of the family of `of`.
pub(crate) fn write_delete_default_route(request: &mut Request, of: IpAddr) {
    request.begin(libc::RTM_DELROUTE, libc::NLM_F_ACK);
    request.fixed(&default_header(of, libc::RT_SCOPE_NOWHERE));
}

fn default_header(of: IpAddr, scope: u8) -> [u8; HEADER] {
    let boot = libc::RTPROT_BOOT;
    [family(of), 0, 0, 0, libc::RT_TABLE_MAIN, boot, scope, libc::RTN_UNICAST, 0, 0, 0, 0]
}

pub(super) fn write_dump(request: &mut Request) {
    request.begin(libc::RTM_GETROUTE, libc::NLM_F_DUMP);
    request.fixed(&[0; HEADER]);
}
