//! Reserving ports of the host, so that nobody else takes what the firewall sends to a container.
//!
//! A reserved port is bound and never listened on: where the firewall does not step in, a connection is refused at
//! once. Only a port that the kernel cannot translate is listened on, for the monitor to pass the bytes on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, ipproto, listen, shutdown, socket_with, sockopt,
};
use wharf_types::{Error, Kind, Result};

use super::holder;
use crate::plan::{PortPlan, Protocol};

/// How many connections to a relayed port wait until they are accepted.
const BACKLOG: i32 = 128;

/// A port of the host that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) port: PortPlan,
    /// `None` where the host does not speak the protocol.
    pub(super) socket: Option<OwnedFd>,
}

/// Binds a socket to every port; all are free again when the result is dropped.
///
/// # Errors
/// `Conflict` with Docker's text when a port is taken, `InvalidParameter` for an address that the host does not have.
pub(super) fn reserve(ports: &[PortPlan]) -> Result<Vec<Held>> {
    let hold_one = |port: &PortPlan| {
        let socket = hold(port).map_err(|errno| refusal(port, errno))?;
        Ok(Held { port: port.clone(), socket })
    };
    ports.iter().map(hold_one).collect()
}

/// `None` for a protocol that the host does not speak itself (SCTP as a module that is not loaded): then nobody else
/// can take the port.
fn hold(port: &PortPlan) -> Result<Option<OwnedFd>, Errno> {
    let address = SocketAddr::new(port.host_ip, port.host_port);
    if port.is_relayed() {
        let socket = open(port)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        return Ok(Some(socket));
    }
    match open(port) {
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT | Errno::AFNOSUPPORT) => Ok(None),
        Err(errno) => Err(errno),
        Ok(socket) => match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) if port.protocol == Protocol::Tcp => {
                bind_beside_closed(open(port)?, &address).map(Some)
            }
            bound => bound.map(|()| Some(socket)),
        },
    }
}

fn open(port: &PortPlan) -> Result<OwnedFd, Errno> {
    let family = if port.host_ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Takes a port on which only closed connections linger (TIME_WAIT), and no other.
///
/// With SO_REUSEADDR the kernel overlooks them, but other bound sockets that do not listen as well; it looks closely
/// only at `listen`. So the socket listens for an instant, and then gives up both. That keeps the port, and the next
/// one to try sees a socket that shares nothing.
fn bind_beside_closed(socket: OwnedFd, address: &SocketAddr) -> Result<OwnedFd, Errno> {
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, address)?;
    listen(&socket, 0)?;
    shutdown(&socket, Shutdown::Both)?;
    sockopt::set_socket_reuseaddr(&socket, false)?;
    Ok(socket)
}

/// Who holds the port, as far as can be seen.
fn held_by(port: &PortPlan) -> String {
    let (number, protocol) = (port.host_port, port.protocol);
    match holder::of(port) {
        Some(process) => format!("{number}/{protocol} is held by {process}; publish another port"),
        None => {
            format!("{number}/{protocol} is held by a socket of the host; 'ss -ap sport = :{number}' may tell whose")
        }
    }
}

fn refusal(port: &PortPlan, errno: Errno) -> Error {
    let address = SocketAddr::new(port.host_ip, port.host_port);
    match errno {
        Errno::ADDRINUSE => {
            Error::conflict(format!("Bind for {address} failed: port is already allocated")).with_hint(held_by(port))
        }
        Errno::ADDRNOTAVAIL => {
            Error::new(Kind::InvalidParameter, format!("Bind for {address} failed: the host has no such address"))
                .with_hint("'ip address' lists the addresses of the host; 0.0.0.0 publishes on all")
        }
        errno => Error::system(format!("Bind for {address} failed")).caused_by(std::io::Error::from(errno)),
    }
}
