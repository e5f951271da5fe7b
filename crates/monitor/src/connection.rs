//! An engine's connection, and the events that engines are told.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use crate::poll::{Poll, Token, Watched};
use crate::protocol::{Event, Reply};
use crate::wire::{self, Received};

/// How many answers and events wait for an engine that does not read before it is given up.
const PATIENCE: usize = 4096;

/// How many events are kept for an engine to come.
const MEMORY: usize = 1024;

/// One engine's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    number: u32,
    socket: Watched,
    waiting: VecDeque<Reply>,
    /// Whether it is told events.
    subscribed: bool,
    closed: bool,
}

impl Connection {
    /// Takes over a connected socket, which must not block.
    pub(crate) fn new(poll: &Poll, number: u32, socket: OwnedFd) -> Self {
        let socket = poll.watch(socket, Token::Connection(number));
        let mut connection = Self { number, socket, waiting: VecDeque::new(), subscribed: false, closed: false };
        connection.rearm();
        connection
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next request, if one has come.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        match wire::receive(&self.socket) {
            Ok(Some(received)) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(None) | Err(_) => {
                self.closed = true;
                None
            }
        }
    }

    /// Sends an answer, after those that still wait.
    pub(crate) fn reply(&mut self, reply: Reply) {
        self.waiting.push_back(reply);
        self.flush();
    }

    /// Sends what waits, as far as the engine takes it.
    pub(crate) fn flush(&mut self) {
        while let Some(reply) = self.waiting.front() {
            match wire::send(&self.socket, reply, &[]) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.closed |= self.waiting.len() > PATIENCE;
        self.rearm();
    }

    fn rearm(&mut self) {
        let mut interest = EventFlags::IN;
        interest.set(EventFlags::OUT, !self.waiting.is_empty());
        let interest = (!self.closed).then_some(interest);
        self.closed |= self.socket.want(interest).is_err();
    }
}

/// Events on their way to subscribers. What nobody has received yet is remembered.
#[derive(Debug, Default)]
pub(crate) struct Events {
    undelivered: VecDeque<Event>,
}

impl Events {
    /// Tells all subscribers, or remembers the event for the next one.
    pub(crate) fn publish(&mut self, event: Event, connections: &mut [Connection]) {
        let mut delivered = false;
        for connection in connections.iter_mut().filter(|connection| connection.subscribed && !connection.closed) {
            connection.reply(Reply::Event(event.clone()));
            delivered |= !connection.closed;
        }
        if !delivered {
            self.undelivered.truncate(MEMORY - 1);
            self.undelivered.push_back(event);
        }
    }

    /// Tells all subscribers something that is out of date as soon as the next of its kind comes.
    pub(crate) fn mention(event: &Event, connections: &mut [Connection]) {
        for connection in connections.iter_mut().filter(|connection| connection.subscribed && !connection.closed) {
            connection.reply(Reply::Event(event.clone()));
        }
    }

    /// Makes a connection a subscriber and tells it what nobody has been told yet.
    pub(crate) fn subscribe(&mut self, connection: &mut Connection) {
        connection.subscribed = true;
        while let Some(event) = self.undelivered.pop_front() {
            connection.reply(Reply::Event(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_sys::packet;

    fn connected(poll: &Poll) -> (Connection, OwnedFd) {
        let (ours, theirs) = packet::pair().unwrap();
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        (Connection::new(poll, 1, ours), theirs)
    }

    fn received(peer: &OwnedFd) -> Event {
        match wire::receive(peer).unwrap().unwrap().document().unwrap() {
            Reply::Event(event) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_wait_for_a_subscriber() {
        let poll = Poll::new().unwrap();
        let (mut connection, peer) = connected(&poll);
        let mut events = Events::default();
        let ended = |code| Event::ExecExited { id: "x".to_owned(), code };
        events.publish(ended(1), std::slice::from_mut(&mut connection));
        events.subscribe(&mut connection);
        events.publish(ended(2), std::slice::from_mut(&mut connection));
        assert_eq!((received(&peer), received(&peer)), (ended(1), ended(2)));
        drop(peer);
        events.publish(ended(3), std::slice::from_mut(&mut connection));
        assert!(connection.is_closed());
        assert_eq!(events.undelivered, [ended(3)]);
    }
}
