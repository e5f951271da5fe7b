//! Ports whose bytes the monitor passes on itself, because the kernel cannot translate their addresses: those on `::1`, and
//! those on an IPv6 address for a container that has only IPv4. TCP only; both directions close on their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, accept_with, connect, recv, send, shutdown,
    socket_with,
};
use wharf_network::Sandbox;
use wharf_network::plan::PortPlan;
use wharf_types::{Result, ResultExt};

use crate::poll::{Poll, Token, Watched};

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;
/// How many chunks one connection may pass on before others have their turn.
const TURN: usize = 16;
/// How many connections are open at most.
const MOST: usize = 1024;

/// The relayed ports and their connections.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    listeners: BTreeMap<u32, (Watched, PortPlan)>,
    links: BTreeMap<u32, Link>,
    next: u32,
}

impl Relays {
    /// Listens on exactly the relayed ports of the sandbox.
    pub(crate) fn listen(&mut self, poll: &Poll, sandbox: &Sandbox) -> Result<()> {
        let wanted: Vec<_> = sandbox.relayed().collect();
        self.listeners.retain(|_, (_, port)| wanted.iter().any(|(wanted, _)| *wanted == port));
        for (port, socket) in wanted {
            if self.listeners.values().any(|(_, known)| known == port) {
                continue;
            }
            let socket = socket.try_clone_to_owned().context("cannot duplicate a socket")?;
            let mut watched = poll.watch(socket, Token::Relay(self.next));
            watched.want(Some(EventFlags::IN)).context("cannot wait for connections")?;
            self.listeners.insert(self.next, (watched, port.clone()));
            self.next += 1;
        }
        Ok(())
    }

    /// Takes a connection in.
    pub(crate) fn accept(&mut self, poll: &Poll, number: u32) {
        let Some((listener, port)) = self.listeners.get(&number) else { return };
        // One that has gone again is no loss; nor can anything be told to one for which there are no descriptors.
        let Ok(client) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else { return };
        let target = SocketAddr::new(port.container_ip, port.container_port);
        if self.links.len() < MOST
            && let Ok(link) = Link::new(poll, self.next, client, &target)
        {
            self.links.insert(self.next, link);
        }
        self.next += 1;
    }

    /// Something happened at one end of a connection.
    pub(crate) fn event(&mut self, number: u32, end: u32, flags: EventFlags) {
        let Some(link) = self.links.get_mut(&number) else { return };
        if link.event(end as usize & 1, flags).is_err() || link.is_over() {
            self.links.remove(&number);
        }
    }
}

/// A client's connection (0) and the one to the container (1).
#[derive(Debug)]
struct Link {
    ends: [Watched; 2],
    /// What goes from an end to the other.
    ways: [Way; 2],
    connected: bool,
}

#[derive(Debug, Default)]
struct Way {
    /// What the receiver has not taken yet.
    pending: Vec<u8>,
    /// No more is coming.
    ended: bool,
    /// The receiver knows that.
    told: bool,
}

impl Link {
    fn new(poll: &Poll, number: u32, client: std::os::fd::OwnedFd, target: &SocketAddr) -> Result<Self, Errno> {
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        match connect(&socket, target) {
            Err(Errno::INPROGRESS) | Ok(()) => {}
            Err(errno) => return Err(errno),
        }
        let ends = [(client, 0), (socket, 1)].map(|(socket, end)| poll.watch(socket, Token::Relayed(number, end)));
        let mut link = Self { ends, ways: Default::default(), connected: false };
        link.rearm()?;
        Ok(link)
    }

    fn event(&mut self, end: usize, flags: EventFlags) -> Result<(), Errno> {
        if flags.contains(EventFlags::ERR) {
            return Err(Errno::CONNRESET);
        }
        self.connected |= end == 1;
        if self.connected {
            self.pass(0)?;
            self.pass(1)?;
        }
        self.rearm()
    }

    /// Passes on what comes from `end`, as far as the other takes it.
    fn pass(&mut self, end: usize) -> Result<(), Errno> {
        let (from, to, way) = (&self.ends[end], &self.ends[1 - end], &mut self.ways[end]);
        let mut chunk = [0; CHUNK];
        for _ in 0..TURN {
            if !way.pending.is_empty() {
                let sent = sent(send(to, &way.pending, SendFlags::NOSIGNAL))?;
                way.pending.drain(..sent);
                if !way.pending.is_empty() {
                    return Ok(());
                }
            }
            if way.ended {
                break;
            }
            match recv(from, &mut chunk[..], RecvFlags::empty()) {
                Ok((0, _)) => way.ended = true,
                Ok((count, _)) => {
                    let sent = sent(send(to, &chunk[..count], SendFlags::NOSIGNAL))?;
                    way.pending.extend_from_slice(&chunk[sent..count]);
                }
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(errno),
            }
        }
        if way.ended && way.pending.is_empty() && !std::mem::replace(&mut way.told, true) {
            shutdown(to, Shutdown::Write)?;
        }
        if way.pending.is_empty() {
            way.pending = Vec::new();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ways.iter().all(|way| way.told)
    }

    fn rearm(&mut self) -> Result<(), Errno> {
        for end in [0, 1] {
            let mut interest = EventFlags::empty();
            let reads = !self.ways[end].ended && self.ways[end].pending.is_empty();
            interest.set(EventFlags::IN, self.connected && reads);
            let connecting = end == 1 && !self.connected;
            interest.set(EventFlags::OUT, connecting || self.connected && !self.ways[1 - end].pending.is_empty());
            // An end that has nothing to say is left out, or its hang-up would be heard for ever.
            let interest = (!interest.is_empty()).then_some(interest);
            self.ends[end].want(interest).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        Ok(())
    }
}

/// How much was sent; nothing where the receiver is not ready.
fn sent(result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}
