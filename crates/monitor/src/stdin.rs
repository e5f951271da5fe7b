//! The writing end of a process's standard input.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::poll::{Poll, Token, Watched};

/// Standard input of a process, or its terminal.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// `None` once it is closed.
    pipe: Option<Watched>,
    pending: Vec<u8>,
    closing: bool,
}

impl Stdin {
    /// `pipe` must not block; `None` is a process without standard input.
    pub(crate) fn new(poll: &Poll, session: u32, pipe: Option<OwnedFd>) -> Self {
        Self { pipe: pipe.map(|pipe| poll.watch(pipe, Token::Input(session))), pending: Vec::new(), closing: false }
    }

    /// Whether it is open and takes more.
    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some() && !self.closing
    }

    /// Whether clients may be read: nothing is waiting. A closed input has room for everything, since it is thrown away.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.is_empty()
    }

    /// Writes `bytes`, or keeps what the pipe does not take now.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.is_open() {
            self.pending.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// Closes it once everything has been written.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        self.flush();
    }

    /// Writes what has been waiting.
    pub(crate) fn flush(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut done = 0;
        let broken = loop {
            if done == self.pending.len() {
                break false;
            }
            match rustix::io::retry_on_intr(|| rustix::io::write(pipe, &self.pending[done..])) {
                Ok(count) => done += count,
                Err(Errno::AGAIN) => break false,
                // The process has closed its end.
                Err(_) => break true,
            }
        };
        self.pending.drain(..done);
        if broken || (self.closing && self.pending.is_empty()) {
            self.pipe = None;
            self.pending = Vec::new();
        }
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// Waits for room in the pipe if anything is pending.
    pub(crate) fn rearm(&mut self) {
        let interest = (!self.pending.is_empty()).then_some(EventFlags::OUT);
        if let Some(pipe) = &mut self.pipe
            && pipe.want(interest).is_err()
        {
            self.pipe = None;
        }
    }
}
