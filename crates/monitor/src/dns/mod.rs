//! The name server inside a container's network namespace, at 127.0.0.11.
//!
//! ```text
//!   container ──► datagrams ┐                 ┌─ table.rs: names of its networks ──► answered at once
//!   (UDP, TCP)    streams ──┴─► wire.rs ──────┤
//!                                             └─ forward.rs: everything else ──► servers outside, one after the other
//! ```
//!
//! All of it is in the monitor's one thread and waits for nothing. It goes on when the engine is gone, with the names that
//! the engine wrote last.

mod forward;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, accept_with, bind, getsockname,
    listen, recvfrom, sendto, socket_with,
};
use wharf_network::{RESOLVER, Redirect, Sandbox};
use wharf_types::{Error, Result, ResultExt};

use crate::poll::{Poll, Token, Watched};
use crate::protocol::NamesPlan;
use forward::{Asker, Forward};
use stream::Stream;
use table::Table;
use wire::{Data, Question};

/// The number of the socket for datagrams.
const DATAGRAMS: u32 = 0;
/// The number of the socket that takes connections.
const LISTENER: u32 = 1;
/// How many datagrams are answered before others have their turn.
const TURN: usize = 64;
/// How many connections there are at most.
const MOST_STREAMS: usize = 64;
/// How often what takes too long is looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How many ports are tried until one is free for both protocols.
const ATTEMPTS: usize = 16;

/// The name server of one container.
pub(crate) struct NameServer {
    poll: Poll,
    plan: NamesPlan,
    tables: Vec<Table>,
    datagrams: Watched,
    listener: Watched,
    _redirect: Redirect,
    streams: BTreeMap<u32, Stream>,
    forwards: BTreeMap<u32, Forward>,
    next: u32,
    /// Which of several addresses comes first.
    turn: usize,
    /// The server outside that answered last.
    preferred: usize,
    looked: Instant,
}

/// What becomes of a question.
enum Decision {
    /// It is about a name of ours; there may be no record of the wanted type.
    Answer(Vec<Data>),
    /// It is for others.
    Forward,
}

impl NameServer {
    /// Opens its sockets in the container's namespace.
    ///
    /// # Errors
    /// `NotImplemented` when the kernel has no nftables; `System` when it is out of sockets.
    pub(crate) fn open(poll: &Poll, sandbox: &Sandbox, plan: NamesPlan) -> Result<Self> {
        let inside = sandbox.enter()?;
        let opened =
            sockets().and_then(|(datagrams, listener, port)| Ok((datagrams, listener, Redirect::install(port)?)));
        inside.leave()?;
        let (datagrams, listener, redirect) = opened?;
        let watch = |socket, number| -> Result<Watched> {
            let mut watched = poll.watch(socket, Token::Names(number));
            watched.want(Some(EventFlags::IN)).context("cannot wait for name queries")?;
            Ok(watched)
        };
        Ok(Self {
            poll: poll.clone(),
            tables: plan.networks.iter().map(|path| Table::new(path)).collect(),
            plan,
            datagrams: watch(datagrams, DATAGRAMS)?,
            listener: watch(listener, LISTENER)?,
            _redirect: redirect,
            streams: BTreeMap::new(),
            forwards: BTreeMap::new(),
            next: LISTENER + 1,
            turn: 0,
            preferred: 0,
            looked: Instant::now(),
        })
    }

    /// Answers by another plan from now on.
    pub(crate) fn change(&mut self, plan: NamesPlan) {
        self.tables = plan.networks.iter().map(|path| Table::new(path)).collect();
        if plan.servers != self.plan.servers {
            self.preferred = 0;
        }
        self.plan = plan;
    }

    /// Something happened on one of its sockets.
    pub(crate) fn event(&mut self, number: u32, flags: EventFlags, sandbox: &Sandbox) {
        match number {
            DATAGRAMS => self.take_datagrams(sandbox),
            LISTENER => self.accept(),
            stream if self.streams.contains_key(&stream) => self.stream_event(stream, flags, sandbox),
            forward => self.forward_event(forward, flags, sandbox),
        }
    }

    /// Whether something is under way that may take too long.
    pub(crate) fn needs_clock(&self) -> bool {
        !self.forwards.is_empty() || !self.streams.is_empty()
    }

    /// Gives up what takes too long.
    pub(crate) fn tick(&mut self, sandbox: &Sandbox) {
        let now = Instant::now();
        if !self.needs_clock() || now.duration_since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        self.expire_forwards(now, sandbox);
        self.streams.retain(|_, stream| !stream.is_stale(now));
    }

    /// Gives back memory that only work needs.
    pub(crate) fn forget(&mut self) {
        self.tables.iter_mut().for_each(Table::forget);
    }

    fn take_datagrams(&mut self, sandbox: &Sandbox) {
        let mut buffer = [0; 4096];
        for _ in 0..TURN {
            let (length, from) = match recvfrom(&self.datagrams, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _, Some(from))) => (length, from),
                Err(Errno::INTR) => continue,
                // Nothing more, or nothing that could be answered.
                _ => return,
            };
            let query = &buffer[..length];
            match self.handle(query, wire::limit) {
                Ok(answer) => self.send_datagram(&answer, &from),
                Err(Some(question)) => self.begin(Asker::Datagram(from), query, question, sandbox),
                Err(None) => {}
            }
        }
    }

    fn send_datagram(&self, answer: &[u8], to: &SocketAddrAny) {
        // Whoever does not get an answer asks again.
        let _ = sendto(&self.datagrams, answer, SendFlags::DONTWAIT, to);
    }

    /// The answer to a query, or the question that others have to answer; nothing for what is not to be answered.
    fn handle(&mut self, query: &[u8], limit: impl Fn(&Question) -> usize) -> Result<Vec<u8>, Option<Question>> {
        let question = match wire::parse(query) {
            Ok(question) => question,
            Err(Some(code)) => return Ok(wire::failure(query, None, code)),
            Err(None) => return Err(None),
        };
        match self.decide(&question) {
            Decision::Answer(records) => Ok(wire::answer(query, &question, &records, limit(&question))),
            Decision::Forward if self.plan.servers.is_empty() => {
                Ok(wire::failure(query, Some(&question), wire::SERVER_FAILURE))
            }
            Decision::Forward => Err(Some(question)),
        }
    }

    fn decide(&mut self, question: &Question) -> Decision {
        if !question.internet {
            return Decision::Forward;
        }
        self.tables.iter_mut().for_each(Table::refresh);
        if question.kind == wire::PTR {
            let name = wire::reverse(&question.name).and_then(|a| self.tables.iter().find_map(|table| table.name(a)));
            return name.map_or(Decision::Forward, |name| Decision::Answer(vec![Data::Name(name)]));
        }
        let aliases = &self.plan.aliases;
        let alias = aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&question.name));
        let name = alias.map_or_else(|| question.name.clone(), |(_, target)| target.to_ascii_lowercase());
        let Some(found) = self.tables.iter().find_map(|table| table.addresses(&name)) else { return Decision::Forward };
        let wanted = found.iter().filter(|address| match question.kind {
            wire::A => address.is_ipv4(),
            wire::AAAA => address.is_ipv6(),
            kind => kind == wire::ANY,
        });
        let mut records: Vec<Data> = wanted.copied().map(Data::Address).collect();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % records.len().max(1);
        records.rotate_left(first);
        Decision::Answer(records)
    }

    fn accept(&mut self) {
        let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else { return };
        if self.streams.len() < MOST_STREAMS
            && let Ok(stream) = Stream::new(&self.poll, self.next, socket)
        {
            self.streams.insert(self.next, stream);
        }
        self.next += 1;
    }
}

/// Sockets for datagrams and for connections on the same port, which the kernel chooses.
fn sockets() -> Result<(OwnedFd, OwnedFd, u16)> {
    let open = || -> Result<(OwnedFd, OwnedFd, u16), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let datagrams = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        bind(&datagrams, &SocketAddr::new(IpAddr::V4(RESOLVER), 0))?;
        let port = SocketAddr::try_from(getsockname(&datagrams)?).map_err(|_| Errno::AFNOSUPPORT)?.port();
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&listener, &SocketAddr::new(IpAddr::V4(RESOLVER), port))?;
        listen(&listener, 16)?;
        Ok((datagrams, listener, port))
    };
    let mut last = Errno::ADDRINUSE;
    for _ in 0..ATTEMPTS {
        match open() {
            Err(errno) => last = errno,
            Ok(opened) => return Ok(opened),
        }
    }
    Err(Error::system("cannot open the container's name server").caused_by(std::io::Error::from(last)))
}
