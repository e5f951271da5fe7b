//! Interfaces: bridges, veth pairs, and those that sit on another one.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::netlink::{Attributes, Request, text};
use crate::plan::{IpvlanFlag, IpvlanMode, Link, MacvlanMode};

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    /// Kernel's index.
    pub(crate) index: u32,
    /// Name.
    pub(crate) name: String,
    /// Driver as rtnetlink names it (`bridge`, `veth`); empty for hardware.
    pub(crate) kind: String,
    /// Maximum transmission unit in bytes.
    pub(crate) mtu: u32,
    /// Hardware address.
    pub(crate) mac: Vec<u8>,
    /// Whether the administrator has it up.
    pub(crate) up: bool,
    /// What somebody noted on it; empty for nothing.
    pub(crate) alias: String,
}

impl LinkInfo {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_at_checked(16)?;
        let attributes = Attributes(attributes);
        let word = |at: usize| header[at..at + 4].try_into().map(u32::from_ne_bytes).ok();
        Some(LinkInfo {
            index: word(4)?,
            name: text(attributes.get(libc::IFLA_IFNAME)?),
            kind: attributes.nested(libc::IFLA_LINKINFO).get(libc::IFLA_INFO_KIND).map(text).unwrap_or_default(),
            mtu: attributes.host32(libc::IFLA_MTU).unwrap_or(0),
            mac: attributes.get(libc::IFLA_ADDRESS).unwrap_or_default().to_vec(),
            up: word(8)? & libc::IFF_UP as u32 != 0,
            alias: attributes.get(libc::IFLA_IFALIAS).map(text).unwrap_or_default(),
        })
    }
}

/// A bridge to create.
#[derive(Debug)]
pub(crate) struct BridgeSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    pub(crate) mtu: u32,
    /// A note on it; empty for none.
    pub(crate) alias: &'a str,
}

/// The host's side of a veth pair to create.
#[derive(Debug)]
pub(crate) struct VethSpec<'a> {
    pub(crate) name: &'a str,
    /// Index of the bridge that it becomes a port of.
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
}

/// The container's side of a veth pair to create.
#[derive(Debug)]
pub(crate) struct PeerSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: [u8; 6],
    pub(crate) namespace: BorrowedFd<'a>,
}

const CREATE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_INFO_PEER: u16 = 1;
/// `IFLA_VLAN_ID` of `linux/if_link.h`.
const IFLA_VLAN_ID: u16 = 1;
/// `IFLA_MACVLAN_MODE` and `IFLA_IPVLAN_MODE` of `linux/if_link.h`.
const IFLA_MODE: u16 = 1;
/// `IFLA_IPVLAN_FLAGS` of `linux/if_link.h`.
const IFLA_IPVLAN_FLAGS: u16 = 2;
/// `IFLA_BRPORT_MODE` of `linux/if_link.h`: hairpin mode.
const IFLA_BRPORT_MODE: u16 = 4;
/// `IFLA_INET6_ADDR_GEN_MODE` of `linux/if_link.h` and its value `IN6_ADDR_GEN_MODE_NONE`.
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
/// `RTEXT_FILTER_SKIP_STATS` of `linux/rtnetlink.h`.
const SKIP_STATISTICS: u32 = 1 << 3;
const UP: u32 = libc::IFF_UP as u32;

/// Creates a bridge that is up.
pub(crate) fn write_bridge(request: &mut Request, bridge: &BridgeSpec<'_>) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, UP)).string(libc::IFLA_IFNAME, bridge.name);
    request.bytes(libc::IFLA_ADDRESS, &bridge.mac).host32(libc::IFLA_MTU, bridge.mtu);
    request.nest(libc::IFLA_LINKINFO, |info| info.string(libc::IFLA_INFO_KIND, "bridge"));
    write_alias(request, bridge.name, bridge.alias);
}

/// Creates a veth pair in one message: the peer is born in its namespace, the host's side becomes a port of the bridge.
pub(crate) fn write_veth(request: &mut Request, host: &VethSpec<'_>, peer: &PeerSpec<'_>) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, host.name);
    request.host32(libc::IFLA_MTU, host.mtu).host32(libc::IFLA_MASTER, host.bridge);
    write_one_queue(request);
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.string(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |side| {
                side.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, peer.name).host32(libc::IFLA_MTU, host.mtu);
                side.bytes(libc::IFLA_ADDRESS, &peer.mac);
                write_one_queue(side);
                side.host32(libc::IFLA_NET_NS_FD, peer.namespace.as_raw_fd() as u32)
            })
        })
    });
}

/// Notes something on an interface; the kernel takes no note with the creation.
fn write_alias(request: &mut Request, name: &str, alias: &str) {
    if !alias.is_empty() {
        request.begin(libc::RTM_SETLINK, libc::NLM_F_ACK);
        request.fixed(&[0; 16]).string(libc::IFLA_IFNAME, name).bytes(libc::IFLA_IFALIAS, alias.as_bytes());
    }
}

/// Creates a veth pair with both sides here and up: something to sit on where the host has nothing to offer.
pub(crate) fn write_pair(request: &mut Request, name: &str, peer: &str, alias: &str) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, name);
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.string(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |side| side.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, peer))
        })
    });
    // Neither can be up before the other is there.
    for side in [name, peer] {
        request.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK);
        request.fixed(&header(0, UP)).string(libc::IFLA_IFNAME, side);
    }
    write_alias(request, name, alias);
}

/// Creates an interface for one VLAN (1 to 4094) of a parent, up.
pub(crate) fn write_vlan(request: &mut Request, name: &str, parent: u32, vlan: u16, alias: &str) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, UP)).string(libc::IFLA_IFNAME, name).host32(libc::IFLA_LINK, parent);
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.string(libc::IFLA_INFO_KIND, "vlan")
            .nest(libc::IFLA_INFO_DATA, |data| data.bytes(IFLA_VLAN_ID, &vlan.to_ne_bytes()))
    });
    write_alias(request, name, alias);
}

/// Creates a macvlan or ipvlan on the interface `parent` of this namespace, inside the namespace of `peer`.
pub(crate) fn write_upper(request: &mut Request, link: Link, parent: u32, peer: &PeerSpec<'_>, mtu: u32) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, peer.name).host32(libc::IFLA_LINK, parent);
    request.host32(libc::IFLA_NET_NS_FD, peer.namespace.as_raw_fd() as u32);
    if mtu > 0 {
        request.host32(libc::IFLA_MTU, mtu);
    }
    if !matches!(link, Link::Ipvlan(..)) {
        request.bytes(libc::IFLA_ADDRESS, &peer.mac);
    }
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.string(libc::IFLA_INFO_KIND, kind_of(link));
        info.nest(libc::IFLA_INFO_DATA, |data| match link {
            Link::Veth => data,
            Link::Macvlan(mode) => data.host32(IFLA_MODE, macvlan_mode(mode)),
            Link::Ipvlan(mode, flag) => {
                data.bytes(IFLA_MODE, &ipvlan_mode(mode).to_ne_bytes());
                data.bytes(IFLA_IPVLAN_FLAGS, &ipvlan_flag(flag).to_ne_bytes())
            }
        })
    });
}

/// Asks for an interface of this kind without saying where: the kernel refuses it with `EINVAL` if it knows the kind, and
/// with `EOPNOTSUPP` if it does not.
pub(crate) fn write_probe(request: &mut Request, link: Link) {
    request.begin(libc::RTM_NEWLINK, CREATE);
    request.fixed(&header(0, 0));
    request.nest(libc::IFLA_LINKINFO, |info| info.string(libc::IFLA_INFO_KIND, kind_of(link)));
}

/// The driver's name in the kernel.
pub(crate) fn kind_of(link: Link) -> &'static str {
    match link {
        Link::Veth => "veth",
        Link::Macvlan(_) => "macvlan",
        Link::Ipvlan(..) => "ipvlan",
    }
}

fn macvlan_mode(mode: MacvlanMode) -> u32 {
    match mode {
        MacvlanMode::Private => 1,
        MacvlanMode::Vepa => 2,
        MacvlanMode::Bridge => 4,
        MacvlanMode::Passthru => 8,
    }
}

fn ipvlan_mode(mode: IpvlanMode) -> u16 {
    match mode {
        IpvlanMode::L2 => 0,
        IpvlanMode::L3 => 1,
        IpvlanMode::L3s => 2,
    }
}

fn ipvlan_flag(flag: IpvlanFlag) -> u16 {
    match flag {
        IpvlanFlag::Bridge => 0,
        IpvlanFlag::Private => 1,
        IpvlanFlag::Vepa => 2,
    }
}

/// Otherwise the kernel reserves queues for every processor, and uses one.
fn write_one_queue(request: &mut Request) {
    request.host32(libc::IFLA_NUM_TX_QUEUES, 1).host32(libc::IFLA_NUM_RX_QUEUES, 1);
}

/// Sets a bridge port up. It needs no link-local address; and it may send frames back to where they came from: with
/// br_netfilter, a container that talks to its own published port needs that.
pub(crate) fn write_port_up(request: &mut Request, name: &str, has_ipv6: bool) {
    request.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK);
    request.fixed(&header(0, UP)).string(libc::IFLA_IFNAME, name);
    if has_ipv6 {
        request.nest(libc::IFLA_AF_SPEC, |spec| {
            spec.nest(libc::AF_INET6 as u16, |inet6| inet6.bytes(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]))
        });
    }
    request.nest(libc::IFLA_LINKINFO, |info| {
        info.string(libc::IFLA_INFO_SLAVE_KIND, "bridge");
        info.nest(libc::IFLA_INFO_SLAVE_DATA, |data| data.bytes(IFLA_BRPORT_MODE, &[1]))
    });
}

/// Makes an interface a port of the bridge with the index `master`.
pub(crate) fn write_master(request: &mut Request, name: &str, master: u32) {
    request.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK);
    let mut bytes = header(0, 0);
    bytes[12..16].fill(0);
    request.fixed(&bytes).string(libc::IFLA_IFNAME, name).host32(libc::IFLA_MASTER, master);
}

/// Sets an interface up.
pub(crate) fn write_link_up(request: &mut Request, index: u32) {
    request.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK);
    request.fixed(&header(index, UP));
}

/// Sets an interface down.
#[cfg(test)]
pub(crate) fn write_link_down(request: &mut Request, index: u32) {
    request.begin(libc::RTM_NEWLINK, libc::NLM_F_ACK);
    let mut bytes = header(index, UP);
    bytes[8..12].fill(0);
    request.fixed(&bytes);
}

/// Gives a bridge its MTU and hardware address and sets it up.
pub(crate) fn write_link_change(request: &mut Request, index: u32, mtu: u32, mac: [u8; 6]) {
    write_link_up(request, index);
    request.host32(libc::IFLA_MTU, mtu).bytes(libc::IFLA_ADDRESS, &mac);
}

/// Asks for an interface, which makes the kernel (from 6.13) handle a change of its carrier at once. Otherwise it may
/// wait for up to a second, in which nothing can be sent.
pub(crate) fn write_settle(request: &mut Request, name: &str) {
    request.begin(libc::RTM_GETLINK, libc::NLM_F_ACK);
    request.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, name).host32(libc::IFLA_EXT_MASK, SKIP_STATISTICS);
}

/// Deletes an interface.
pub(crate) fn write_delete_link(request: &mut Request, name: &str) {
    request.begin(libc::RTM_DELLINK, libc::NLM_F_ACK);
    request.fixed(&header(0, 0)).string(libc::IFLA_IFNAME, name);
}

pub(super) fn write_dump(request: &mut Request) {
    request.begin(libc::RTM_GETLINK, libc::NLM_F_DUMP);
    request.fixed(&header(0, 0));
}

pub(super) fn write_get(request: &mut Request, index: u32) {
    request.begin(libc::RTM_GETLINK, 0);
    request.fixed(&header(index, 0));
}

/// `struct ifinfomsg`: the flags are set, and nothing else is changed.
fn header(index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}
