//! The connection to a collector: never waits, connects again, and keeps a bounded queue.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll as wait_for};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, send, sendmsg, socket_with, sockopt,
};
use wharf_types::{Error, Result, ResultExt};

use crate::poll::{Poll, Token, Watched};
use crate::protocol::{Collector, CollectorAddress};

/// What may wait for a collector before the container has to wait too, in bytes.
const FULL: usize = 1024 * 1024;
/// How long a container waits for a collector that takes nothing; what it writes after that is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the start of a container waits for the connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a container waits for the rest to be taken.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// When a lost connection is made again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A connection that may break and come back.
pub(super) struct Link {
    poll: Poll,
    address: CollectorAddress,
    /// Beyond so many bytes messages are dropped, and nobody waits.
    drop_beyond: Option<usize>,
    socket: Option<Watched>,
    connected: bool,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    /// How much of the first message has been sent.
    sent: usize,
    retry_at: Option<Instant>,
    retry_after: Duration,
    progress: Instant,
    number: u64,
    lost: u64,
    why: Option<String>,
}

impl Link {
    pub(super) fn open(poll: &Poll, collector: &Collector) -> Result<Self> {
        let mut link = Self {
            poll: poll.clone(),
            address: collector.address.clone(),
            drop_beyond: collector.drop_beyond.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            socket: None,
            connected: false,
            queue: VecDeque::new(),
            queued: 0,
            sent: 0,
            retry_at: None,
            retry_after: RETRY.0,
            progress: Instant::now(),
            number: 0,
            lost: 0,
            why: None,
        };
        let connected = link.connect().and_then(|()| link.await_connection(CONNECT_PATIENCE));
        match connected {
            Err(error) if collector.patient => link.disconnect(&error),
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("failed to initialize logging driver: cannot connect to {}", link.place())
                });
            }
            Ok(()) => {}
        }
        Ok(link)
    }

    /// A number that no other message of this link has.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Whether messages are datagrams.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self.address, CollectorAddress::Udp(_) | CollectorAddress::UnixDatagram(_))
    }

    /// Queues a message; sends nothing yet.
    pub(super) fn send(&mut self, message: Vec<u8>) {
        let stalled = self.queued >= FULL && self.progress.elapsed() > PATIENCE;
        if self.drop_beyond.is_some_and(|most| self.queued + message.len() > most) || stalled {
            self.lost += 1;
            return;
        }
        if self.queue.is_empty() {
            self.progress = Instant::now();
        }
        self.queued += message.len();
        self.queue.push_back(message);
    }

    /// Whether whoever writes should wait.
    pub(super) fn is_full(&self) -> bool {
        self.drop_beyond.is_none() && self.queued >= FULL && self.progress.elapsed() <= PATIENCE
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.queue.is_empty() || self.retry_at.is_some()
    }

    pub(super) fn problem(&self) -> Option<String> {
        let left = self.lost + self.queue.len() as u64;
        let why = self.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        (left > 0).then(|| format!("{left} messages did not reach the log collector at {}{why}", self.place()))
    }

    pub(super) fn ready(&mut self, flags: EventFlags) {
        if !self.connected && !flags.is_empty() {
            match self.outcome() {
                Ok(()) => self.connected = true,
                Err(error) => return self.disconnect(&error),
            }
        }
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) && !self.is_datagram() {
            return self.disconnect(&std::io::Error::from(Errno::CONNRESET));
        }
        self.flush();
    }

    /// Connects again if it is time.
    pub(super) fn tend(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.retry_at = None;
            if let Err(error) = self.connect() {
                self.disconnect(&error);
            }
        }
    }

    /// Sends what waits, as far as the collector takes it.
    pub(super) fn flush(&mut self) {
        while self.connected
            && let Some(message) = self.queue.front()
        {
            let Some(socket) = &self.socket else { return };
            match send(socket, &message[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => self.took(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::MSGSIZE) => self.send_by_file(),
                // Of a port of UDP that nobody listens on one hears once in a while; the next message may arrive.
                Err(Errno::CONNREFUSED) if matches!(self.address, CollectorAddress::Udp(_)) => self.drop_first(None),
                Err(error) => return self.disconnect(&std::io::Error::from(error)),
            }
        }
        self.rearm();
    }

    /// Sends what is left while the container's end is being tidied up, not for ever.
    pub(super) fn drain(&mut self) {
        let end = Instant::now() + DRAIN_PATIENCE;
        while !self.queue.is_empty() && Instant::now() < end {
            self.tend();
            self.flush();
            match &self.socket {
                Some(_) if !self.connected => {
                    if let Err(error) = self.await_connection(end.saturating_duration_since(Instant::now())) {
                        self.disconnect(&error);
                    }
                }
                Some(socket) if !self.queue.is_empty() => wait(socket, Duration::from_millis(50)),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn took(&mut self, count: usize) {
        (self.sent, self.progress) = (self.sent + count, Instant::now());
        self.retry_after = RETRY.0;
        if self.queue.front().is_some_and(|message| self.sent >= message.len()) {
            self.drop_first(Some(()));
        }
    }

    /// The first message is done with: sent, or lost.
    fn drop_first(&mut self, sent: Option<()>) {
        if let Some(message) = self.queue.pop_front() {
            self.queued -= message.len();
        }
        self.sent = 0;
        self.lost += u64::from(sent.is_none());
    }

    /// The journal takes what is too long for a datagram as a sealed memory file.
    fn send_by_file(&mut self) {
        let sent = match (&self.socket, self.queue.front()) {
            (Some(socket), Some(message)) if matches!(self.address, CollectorAddress::UnixDatagram(_)) => {
                pass_file(socket, message)
            }
            _ => Err(std::io::Error::from(Errno::MSGSIZE).into()),
        };
        if let Err(error) = &sent {
            self.why.get_or_insert_with(|| error.to_string());
        }
        self.drop_first(sent.ok());
    }

    fn rearm(&mut self) {
        let interest = if self.queue.is_empty() && self.connected { EventFlags::empty() } else { EventFlags::OUT };
        if let Some(socket) = &mut self.socket
            && socket.want(Some(interest)).is_err()
        {
            self.disconnect(&std::io::Error::from(Errno::BADF));
        }
    }

    fn disconnect(&mut self, error: &dyn std::error::Error) {
        self.why.get_or_insert_with(|| error.to_string());
        (self.socket, self.connected, self.sent) = (None, false, 0);
        self.retry_at = Some(Instant::now() + self.retry_after);
        self.retry_after = (self.retry_after * 2).min(RETRY.1);
    }

    /// Begins to connect.
    fn connect(&mut self) -> std::io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let make = |family, kind| socket_with(family, kind, flags, None);
        let of = |address: &std::net::SocketAddr| {
            if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
        };
        let (socket, begun): (OwnedFd, _) = match &self.address {
            CollectorAddress::Udp(address) => {
                let socket = make(of(address), SocketType::DGRAM)?;
                let begun = connect(&socket, address);
                (socket, begun)
            }
            CollectorAddress::Tcp(address) => {
                let socket = make(of(address), SocketType::STREAM)?;
                let begun = connect(&socket, address);
                (socket, begun)
            }
            CollectorAddress::Unix(path) => {
                let socket = make(AddressFamily::UNIX, SocketType::STREAM)?;
                let begun = connect(&socket, &SocketAddrUnix::new(path)?);
                (socket, begun)
            }
            CollectorAddress::UnixDatagram(path) => {
                let socket = make(AddressFamily::UNIX, SocketType::DGRAM)?;
                let begun = connect(&socket, &SocketAddrUnix::new(path)?);
                (socket, begun)
            }
        };
        match begun {
            Ok(()) => self.connected = true,
            Err(Errno::INPROGRESS) => self.connected = false,
            Err(error) => return Err(error.into()),
        }
        self.socket = Some(self.poll.watch(socket, Token::Log));
        self.rearm();
        Ok(())
    }

    fn await_connection(&mut self, patience: Duration) -> std::io::Result<()> {
        if !self.connected {
            if let Some(socket) = &self.socket {
                wait(socket, patience);
            }
            self.outcome()?;
            self.connected = true;
            self.rearm();
        }
        Ok(())
    }

    fn outcome(&self) -> std::io::Result<()> {
        let Some(socket) = &self.socket else { return Err(Errno::NOTCONN.into()) };
        sockopt::socket_error(socket)??;
        // Not an error yet, but not connected either: it took too long.
        rustix::net::getpeername(socket).map_err(|_| std::io::Error::from(Errno::TIMEDOUT)).map(drop)
    }

    fn place(&self) -> String {
        match &self.address {
            CollectorAddress::Udp(address) => format!("udp://{address}"),
            CollectorAddress::Tcp(address) => format!("tcp://{address}"),
            CollectorAddress::Unix(path) | CollectorAddress::UnixDatagram(path) => format!("unix://{}", path.display()),
        }
    }
}

fn wait(socket: &Watched, patience: Duration) {
    let mut waiting = [PollFd::new(socket, PollFlags::OUT)];
    let timeout =
        Timespec { tv_sec: patience.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: patience.subsec_nanos().into() };
    // What came of it is looked at by the caller.
    let _ = wait_for(&mut waiting, Some(&timeout));
}

fn pass_file(socket: &Watched, message: &[u8]) -> Result<(), Error> {
    use std::os::fd::AsFd;
    let file = wharf_sys::memfd::sealed("journal-entry", message).context("cannot make a memory file")?;
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        .map_err(std::io::Error::from)
        .context("cannot pass a long entry to the journal")
        .map(drop)
}
