//! Netlink sockets: send a request, read until it is answered.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::SocketAddr;
use nix::sys::socket::{setsockopt, sockopt};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::message::Request;
use super::parse::{Attributes, Message, Reader, text, u32_at};

/// `NLMSGERR_ATTR_MSG` of `linux/netlink.h`: the kernel's explanation.
const EXPLANATION: u16 = 1;
/// `NLM_F_ACK_TLVS`: an answer carries attributes such as the explanation.
const HAS_ATTRIBUTES: u16 = 0x200;
/// `NLM_F_DUMP_INTR`: the dumped objects changed meanwhile.
const INTERRUPTED: u16 = 0x10;
/// Size in bytes of a request that needs no larger send buffer than sockets have.
const ALWAYS_FITS: usize = 64 * 1024;
/// How often an interrupted dump is begun anew before its last result is taken as it is.
const DUMP_ATTEMPTS: usize = 8;

/// A netlink socket of the namespace in which it was opened, wherever the thread goes afterwards.
pub(crate) struct Socket(netlink_sys::Socket);

/// The kernel's negative answer to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Sequence number of the message.
    pub(crate) sequence: u32,
    /// Error number.
    pub(crate) errno: i32,
    /// The kernel's explanation, often empty.
    pub(crate) text: String,
}

impl Socket {
    /// A socket for links, addresses and routes.
    pub(crate) fn route() -> Result<Self> {
        Self::open(libc::NETLINK_ROUTE)
    }

    /// A socket for nftables and connection tracking.
    pub(crate) fn netfilter() -> Result<Self> {
        Self::open(libc::NETLINK_NETFILTER)
    }

    /// A socket that hears what changes in nftables, by whomever; reading it never waits.
    pub(crate) fn nftables_news() -> Result<Self> {
        /// `NFNLGRP_NFTABLES` of `linux/netfilter/nfnetlink.h`.
        const GROUP: u32 = 7;
        let mut socket = Self::open(libc::NETLINK_NETFILTER)?;
        // A socket without an address of its own hears nothing.
        let joined = socket.0.bind_auto().and_then(|_| socket.0.add_membership(GROUP));
        let joined = joined.and_then(|()| socket.0.set_non_blocking(true));
        joined.context("cannot listen to changes of nftables")?;
        Ok(socket)
    }

    /// Hands over all news that wait; false when the kernel had to throw some away.
    pub(crate) fn read_news(&self, mut each: impl FnMut(&Message<'_>)) -> Result<bool> {
        let mut buffer = Vec::with_capacity(32 * 1024);
        loop {
            buffer.clear();
            match self.0.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(false),
                received => received.context("cannot read the news of nftables")?,
            };
            Reader(&buffer).for_each(|message| each(&message));
        }
    }

    fn open(protocol: i32) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let socket = netlink_sys::Socket::new(protocol as isize)?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            Ok(Self(socket))
        };
        open().context("cannot open a netlink socket")
    }

    /// Sends messages of which at least the one numbered `last` asks for an acknowledgement, and returns the
    /// refusals, in order.
    ///
    /// # Errors
    /// `System` when the socket itself fails.
    pub(crate) fn transact(&self, request: &mut Request, last: u32) -> Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mut answered = false;
        self.exchange(request, |message| {
            if i32::from(message.kind) == libc::NLMSG_ERROR {
                refusals.extend(refusal(message));
                answered |= message.sequence == last;
            }
            if answered { Progress::Done } else { Progress::More }
        })?;
        if answered || !refusals.is_empty() { Ok(refusals) } else { Err(silence()) }
    }

    /// Sends one request for objects, which `build` writes, and collects what `each` makes of every object's payload.
    /// Begins anew when the objects changed during the dump.
    pub(crate) fn dump<T>(
        &self,
        mut build: impl FnMut(&mut Request),
        mut each: impl FnMut(&[u8], &mut Vec<T>),
    ) -> Result<Vec<T>, DumpError> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            found.clear();
            let mut interrupted = false;
            let mut refused = None;
            let mut request = Request::new();
            build(&mut request);
            let mut complete = false;
            self.exchange(&mut request, |message| {
                interrupted |= message.flags & INTERRUPTED != 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => complete = true,
                    libc::NLMSG_ERROR => {
                        refused = refusal(message);
                        complete = true;
                    }
                    _ => each(message.payload, &mut found),
                }
                complete |= message.flags & libc::NLM_F_MULTI as u16 == 0;
                if complete { Progress::Done } else { Progress::More }
            })?;
            match refused {
                Some(refusal) => return Err(DumpError::Refused(refusal)),
                None if !complete => return Err(silence().into()),
                None if interrupted => continue,
                None => return Ok(found),
            }
        }
        Ok(found)
    }

    /// A request is one message to the socket, which must hold it as a whole.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > ALWAYS_FITS {
            setsockopt(&self.0, sockopt::SndBufForce, &(bytes.len() * 2))?;
        }
        self.0.send_to(bytes, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// The kernel handles a request within the sending call and goes on with a dump within the receiving one, so that
    /// an empty queue means the end: nothing here can wait for ever.
    fn exchange(&self, request: &mut Request, mut each: impl FnMut(&Message<'_>) -> Progress) -> Result<()> {
        self.send(request.finish()).context("cannot send a netlink message")?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        loop {
            buffer.clear();
            match self.0.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                received => received.context("cannot read the kernel's netlink answer")?,
            };
            for message in Reader(&buffer) {
                if matches!(each(&message), Progress::Done) {
                    return Ok(());
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

enum Progress {
    More,
    Done,
}

fn silence() -> Error {
    Error::system("the kernel did not answer a netlink request")
}

/// Why a dump gave nothing.
#[derive(Debug)]
pub(crate) enum DumpError {
    /// The kernel said no, for instance because the object does not exist.
    Refused(Refusal),
    /// The socket failed.
    Failed(Error),
}

impl From<Error> for DumpError {
    fn from(error: Error) -> Self {
        DumpError::Failed(error)
    }
}

impl From<DumpError> for Error {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Refused(refusal) => refusal.into(),
            DumpError::Failed(error) => error,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let cause = io::Error::from_raw_os_error(refusal.errno);
        match refusal.text.is_empty() {
            true => Error::new(kind_of(refusal.errno), cause.to_string()),
            false => Error::new(kind_of(refusal.errno), refusal.text).caused_by(cause),
        }
    }
}

/// The first refusal as an error.
pub(crate) fn accept(refusals: Vec<Refusal>) -> Result<()> {
    refusals.into_iter().next().map_or(Ok(()), |refusal| Err(refusal.into()))
}

fn kind_of(errno: i32) -> Kind {
    match errno {
        libc::ENOENT | libc::ENODEV => Kind::NotFound,
        libc::EEXIST | libc::EBUSY => Kind::Conflict,
        libc::EPERM | libc::EACCES => Kind::Forbidden,
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => Kind::NotImplemented,
        libc::ENOSPC | libc::ENOMEM | libc::ENFILE => Kind::Exhausted,
        _ => Kind::System,
    }
}

/// `None` for an acknowledgement.
fn refusal(message: &Message<'_>) -> Option<Refusal> {
    let code = u32_at(message.payload, 0).map_or(-libc::EPROTO, |code| code as i32);
    let attributes =
        if message.flags & HAS_ATTRIBUTES == 0 { &[][..] } else { message.payload.get(20..).unwrap_or_default() };
    let text = Attributes(attributes).get(EXPLANATION).map(text).unwrap_or_default();
    (code != 0).then_some(Refusal { sequence: message.sequence, errno: -code, text })
}
