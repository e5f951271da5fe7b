//! Questions over TCP: each with its length before it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use wharf_network::Sandbox;

use super::NameServer;
use super::forward::Asker;
use crate::poll::{Poll, Token, Watched};

/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const LIMIT: usize = u16::MAX as usize;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Watched,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    active: Instant,
    /// No more questions are coming.
    ended: bool,
    /// Questions whose answers others owe.
    pub waiting: usize,
}

impl Stream {
    pub(super) fn new(poll: &Poll, number: u32, socket: OwnedFd) -> std::io::Result<Self> {
        let mut socket = poll.watch(socket, Token::Names(number));
        socket.want(Some(EventFlags::IN))?;
        let (inbox, outbox) = (Vec::new(), Vec::new());
        Ok(Self { socket, inbox, outbox, active: Instant::now(), ended: false, waiting: 0 })
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.waiting == 0 && now.duration_since(self.active) > PATIENCE
    }

    /// Queues an answer.
    pub(super) fn answer(&mut self, message: &[u8]) {
        put(&mut self.outbox, message);
    }

    /// Reads what has come.
    fn read(&mut self) -> Result<(), Errno> {
        let mut chunk = [0; 4096];
        match recv(&self.socket, &mut chunk[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended = true,
            Ok((count, _)) => {
                self.inbox.extend_from_slice(&chunk[..count]);
                self.active = Instant::now();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Sends what waits; `true` while the connection is of use.
    pub(super) fn flush(&mut self) -> bool {
        match send(&self.socket, &self.outbox, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => drop(self.outbox.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return false,
        }
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, !self.ended);
        interest.set(EventFlags::OUT, !self.outbox.is_empty());
        let useful = !self.ended || self.waiting > 0 || !self.outbox.is_empty();
        useful && self.socket.want((!interest.is_empty()).then_some(interest)).is_ok()
    }
}

/// Takes the first whole message out of what was received.
pub(super) fn take(inbox: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(inbox.get(..2)?.try_into().ok()?));
    let message = inbox.get(2..2 + length)?.to_vec();
    inbox.drain(..2 + length);
    Some(message)
}

/// Appends a message with its length before it.
pub(super) fn put(outbox: &mut Vec<u8>, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    outbox.extend_from_slice(&length.to_be_bytes());
    outbox.extend_from_slice(&message[..usize::from(length)]);
}

impl NameServer {
    pub(super) fn stream_event(&mut self, number: u32, flags: EventFlags, sandbox: &Sandbox) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if flags.contains(EventFlags::IN) && stream.read().is_err() {
            self.streams.remove(&number);
            return;
        }
        while let Some(query) = self.streams.get_mut(&number).and_then(|stream| take(&mut stream.inbox)) {
            match self.handle(&query, |_| LIMIT) {
                Ok(answer) => self.answer_stream(number, &answer),
                Err(Some(question)) => {
                    self.streams.entry(number).and_modify(|stream| stream.waiting += 1);
                    self.begin(Asker::Stream(number), &query, question, sandbox);
                }
                // Not even a question: whoever that is has come to the wrong place.
                Err(None) => drop(self.streams.remove(&number)),
            }
        }
        self.flush_stream(number);
    }

    pub(super) fn answer_stream(&mut self, number: u32, message: &[u8]) {
        self.streams.entry(number).and_modify(|stream| stream.answer(message));
    }

    pub(super) fn flush_stream(&mut self, number: u32) {
        if self.streams.get_mut(&number).is_some_and(|stream| !stream.flush()) {
            self.streams.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_are_taken_out_as_they_were_put_in(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
            cut in 0_usize..300,
        ) {
            let mut bytes = Vec::new();
            messages.iter().for_each(|message| put(&mut bytes, message));
            let late = bytes.split_off(cut.min(bytes.len()));
            let mut found = Vec::new();
            let mut inbox = bytes;
            found.extend(std::iter::from_fn(|| take(&mut inbox)));
            inbox.extend(late);
            found.extend(std::iter::from_fn(|| take(&mut inbox)));
            prop_assert_eq!(found, messages);
            prop_assert!(inbox.is_empty());
        }
    }
}
