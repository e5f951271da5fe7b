//! Questions that others answer: passed on byte by byte under another number, to one server after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use rustix::rand::{GetRandomFlags, getrandom};
use wharf_network::Sandbox;
use wharf_types::{Error, Result};

use super::wire::{self, Question};
use super::{NameServer, stream};
use crate::poll::{Token, Watched};
use crate::protocol::NameServer as Server;

/// How long a server may take. Askers wait for 5 seconds, so that a second server gets its chance in time.
const PATIENCE: Duration = Duration::from_millis(2000);
/// How many questions are under way at most: each has a socket.
const MOST: usize = 256;

/// Who gets the answer.
#[derive(Debug)]
pub(super) enum Asker {
    /// A datagram's sender.
    Datagram(SocketAddrAny),
    /// A connection, by its number.
    Stream(u32),
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Forward {
    asker: Asker,
    query: Vec<u8>,
    question: Question,
    /// The number under which it was passed on.
    number: u16,
    socket: Watched,
    /// For a connection: what has not been sent yet, and what has come of the answer.
    outbox: Vec<u8>,
    inbox: Vec<u8>,
    /// The server that is being asked, and how many were before it.
    server: usize,
    tried: usize,
    deadline: Instant,
}

impl NameServer {
    /// Passes a question on.
    pub(super) fn begin(&mut self, asker: Asker, query: &[u8], question: Question, sandbox: &Sandbox) {
        if self.forwards.len() >= MOST {
            return self.refuse(&asker, query, &question);
        }
        let first = self.preferred % self.plan.servers.len().max(1);
        self.ask(asker, query.to_vec(), question, first, 0, sandbox);
    }

    /// Asks the given server, or the next one that can be reached.
    fn ask(
        &mut self,
        asker: Asker,
        query: Vec<u8>,
        question: Question,
        mut server: usize,
        mut tried: usize,
        sandbox: &Sandbox,
    ) {
        let over_stream = matches!(asker, Asker::Stream(_));
        while tried < self.plan.servers.len() {
            let opened = self.reach(&self.plan.servers[server], &query, over_stream, sandbox);
            if let Ok((socket, number, outbox)) = opened {
                let (inbox, deadline) = (Vec::new(), Instant::now() + PATIENCE);
                let forward =
                    Forward { asker, query, question, number, socket, outbox, inbox, server, tried, deadline };
                self.forwards.insert(self.next, forward);
                self.next += 1;
                return;
            }
            server = (server + 1) % self.plan.servers.len();
            tried += 1;
        }
        self.refuse(&asker, &query, &question);
    }

    /// Opens a socket to a server and sends the question, or keeps it until the connection stands.
    fn reach(&self, server: &Server, query: &[u8], stream: bool, sandbox: &Sandbox) -> Result<(Watched, u16, Vec<u8>)> {
        let inside = (!server.from_host).then(|| sandbox.enter()).transpose()?;
        let opened = open(&server.address, stream);
        if let Some(inside) = inside {
            inside.leave()?;
        }
        let (socket, number) = opened.map_err(std::io::Error::from)?;
        let mut message = query.to_vec();
        message[..2].copy_from_slice(&number.to_be_bytes());
        let mut outbox = Vec::new();
        let mut interest = EventFlags::IN;
        if stream {
            stream::put(&mut outbox, &message);
            interest |= EventFlags::OUT;
        } else {
            send(&socket, &message, SendFlags::DONTWAIT).map_err(std::io::Error::from)?;
        }
        let mut socket = self.poll.watch(socket, Token::Names(self.next));
        socket.want(Some(interest)).map_err(Error::from)?;
        Ok((socket, number, outbox))
    }

    pub(super) fn forward_event(&mut self, key: u32, flags: EventFlags, sandbox: &Sandbox) {
        let Some(forward) = self.forwards.get_mut(&key) else { return };
        let received =
            if matches!(forward.asker, Asker::Stream(_)) { forward.exchange(flags) } else { forward.receive() };
        match received {
            Ok(None) => {}
            Ok(Some(answer)) => self.on_answer(key, answer, sandbox),
            Err(_) => self.on_silence(key, sandbox),
        }
    }

    /// A server that cannot or does not want to answer is no reason not to ask the next one.
    fn on_answer(&mut self, key: u32, mut answer: Vec<u8>, sandbox: &Sandbox) {
        let Some(forward) = self.forwards.remove(&key) else { return };
        let failed = matches!(wire::code(&answer), Some(wire::SERVER_FAILURE | wire::REFUSED));
        let is_last = forward.tried + 1 >= self.plan.servers.len();
        if failed && !is_last {
            return self.ask_next(forward, sandbox);
        }
        if !failed {
            self.preferred = forward.server;
        }
        answer[..2].copy_from_slice(&forward.query[..2]);
        self.deliver(&forward.asker, &answer);
    }

    fn on_silence(&mut self, key: u32, sandbox: &Sandbox) {
        if let Some(forward) = self.forwards.remove(&key) {
            if self.preferred == forward.server {
                self.preferred += 1;
            }
            self.ask_next(forward, sandbox);
        }
    }

    fn ask_next(&mut self, forward: Forward, sandbox: &Sandbox) {
        let Forward { asker, query, question, server, tried, .. } = forward;
        // The list may have become another meanwhile.
        let next = (server + 1) % self.plan.servers.len().max(1);
        self.ask(asker, query, question, next, tried + 1, sandbox);
    }

    pub(super) fn expire_forwards(&mut self, now: Instant, sandbox: &Sandbox) {
        let late = self.forwards.iter().filter(|(_, forward)| forward.deadline <= now);
        for key in late.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.on_silence(key, sandbox);
        }
    }

    fn refuse(&mut self, asker: &Asker, query: &[u8], question: &Question) {
        self.deliver(asker, &wire::failure(query, Some(question), wire::SERVER_FAILURE));
    }

    fn deliver(&mut self, asker: &Asker, answer: &[u8]) {
        match asker {
            Asker::Datagram(from) => self.send_datagram(answer, from),
            Asker::Stream(number) => {
                self.streams.entry(*number).and_modify(|stream| stream.waiting = stream.waiting.saturating_sub(1));
                self.answer_stream(*number, answer);
                self.flush_stream(*number);
            }
        }
    }
}

impl Forward {
    /// A datagram that answers the question; others are passed over.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, Errno> {
        let mut buffer = [0; 4096];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) if self.is_answered_by(&buffer[..length]) => {
                    return Ok(Some(buffer[..length].to_vec()));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Goes on with a connection.
    fn exchange(&mut self, flags: EventFlags) -> Result<Option<Vec<u8>>, Errno> {
        if flags.intersects(EventFlags::ERR) {
            return Err(Errno::CONNREFUSED);
        }
        if flags.contains(EventFlags::OUT) && !self.outbox.is_empty() {
            let sent = send(&self.socket, &self.outbox, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
            self.outbox.drain(..sent);
        }
        let mut chunk = [0; 4096];
        match recv(&self.socket, &mut chunk[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(Errno::CONNRESET),
            Ok((count, _)) => self.inbox.extend_from_slice(&chunk[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if self.outbox.is_empty() {
            self.socket.want(Some(EventFlags::IN)).map_err(|_| Errno::IO)?;
        }
        Ok(stream::take(&mut self.inbox).filter(|message| self.is_answered_by(message)))
    }

    fn is_answered_by(&self, message: &[u8]) -> bool {
        wire::answers(message, self.number, &self.query, self.question.end)
    }
}

/// A socket to a server, and an unforeseeable number for the question.
fn open(address: &SocketAddr, stream: bool) -> Result<(std::os::fd::OwnedFd, u16), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if stream { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(errno) => return Err(errno),
    }
    let mut number = [0; 2];
    getrandom(&mut number[..], GetRandomFlags::empty())?;
    Ok((socket, u16::from_ne_bytes(number)))
}
