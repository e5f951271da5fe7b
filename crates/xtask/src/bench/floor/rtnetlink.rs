//! The few messages of rtnetlink(7) that the floor needs, with nothing around them.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};
use wharf_testkit::subnet::Subnet;

// linux/rtnetlink.h, linux/if_link.h, linux/netlink.h
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400 | 0x200; // and fail if it is there
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const UP: u32 = 1;

/// The container's address and its gateway: nothing but the container's own namespace and the bridge ever sees them.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 199, 199, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 199, 199, 1);

/// A bridge for the floor's containers, removed when this goes.
#[derive(Debug)]
pub struct Bridge {
    name: String,
    _subnet: Subnet,
}

impl Bridge {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let subnet = Subnet::take();
        let [_, b, c, _] = subnet.address(0).octets();
        let name = format!("wf{b:02x}{c:02x}");
        let mut link = Message::link(NEW_LINK, CREATE, 0, UP);
        link.text(IFLA_IFNAME, &name);
        link.nest(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        exchange(&[link]).context("cannot make a bridge")?;
        Ok(Self { name, _subnet: subnet })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let removed = index(&self.name).and_then(|index| exchange(&[Message::link(DELETE_LINK, 0, index, 0)]));
        if let Err(error) = removed {
            eprintln!("cannot remove the bridge {}: {error}", self.name);
        }
    }
}

/// Makes a veth pair whose one end is an active port of the bridge and whose other end is `eth0` of the process's
/// namespace.
pub fn attach(bridge: &str, pid: i32, number: u32) -> Result<()> {
    let master = index(bridge)?;
    let mut link = Message::link(NEW_LINK, CREATE, 0, UP);
    link.text(IFLA_IFNAME, &format!("wf{:x}n{number}", std::process::id()));
    link.word(IFLA_MASTER, master);
    link.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, "veth");
        info.nest(IFLA_INFO_DATA, |data| {
            data.nest(VETH_INFO_PEER, |peer| {
                peer.bytes.extend([0; 16]); // ifinfomsg
                peer.text(IFLA_IFNAME, "eth0");
                peer.word(IFLA_NET_NS_PID, pid.cast_unsigned());
            });
        });
    });
    exchange(&[link]).context("cannot make a veth pair")
}

/// Inside: address, up and the default route, in one go.
pub fn configure() -> io::Result<()> {
    let eth0 = index("eth0")?;
    let mut address = Message::new(NEW_ADDRESS, CREATE);
    address.bytes.extend([2, 24, 0, 0]); // ifaddrmsg: AF_INET, prefix, flags, scope
    address.bytes.extend(eth0.to_ne_bytes());
    address.attribute(IFA_LOCAL, &ADDRESS.octets());
    address.attribute(IFA_ADDRESS, &ADDRESS.octets());
    let mut route = Message::new(NEW_ROUTE, CREATE);
    // rtmsg: AF_INET, to and from anywhere, service 0, main table, by an administrator, universe, unicast
    route.bytes.extend([2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
    route.attribute(RTA_GATEWAY, &GATEWAY.octets());
    route.word(RTA_OIF, eth0);
    exchange(&[address, Message::link(NEW_LINK, 0, eth0, UP), route])
}

/// By sysfs the index would be the host's; this asks the socket's own namespace.
fn index(name: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(&any, name)?)
}

struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((REQUEST_AND_ACK | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        Self { bytes }
    }

    /// With an ifinfomsg: the link's index and the flags to set.
    fn link(kind: u16, flags: u16, index: u32, set: u32) -> Self {
        let mut message = Self::new(kind, flags);
        message.bytes.extend([0; 4]);
        for word in [index, set, set] {
            message.bytes.extend(word.to_ne_bytes());
        }
        message
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |message| message.bytes.extend(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nest(kind, |message| {
            message.bytes.extend(value.as_bytes());
            message.bytes.push(0);
        });
    }

    fn word(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Sends the messages in one datagram and reads an acknowledgement for each.
fn exchange(messages: &[Message]) -> io::Result<()> {
    let netlink: OwnedFd = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut datagram = Vec::new();
    for message in messages {
        let length = message.bytes.len() as u32;
        datagram.extend(length.to_ne_bytes());
        datagram.extend(&message.bytes[4..]);
    }
    sendto(&netlink, &datagram, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = [0; 4096];
    for _ in messages {
        let (_, length) = recv(&netlink, &mut buffer, RecvFlags::empty())?;
        // nlmsgerr: the code follows the header; 0 is an acknowledgement.
        let code = buffer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes);
        if code != 0 {
            return Err(io::Error::from_raw_os_error(-code));
        }
    }
    Ok(())
}
