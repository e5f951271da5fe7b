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
    wide: bool,
}

/// Input that comes in pieces of this size comes fast.
const BUSY: usize = 32 * 1024;

impl Stdin {
    /// `pipe` must not block; `None` is a process without standard input.
    pub(crate) fn new(poll: &Poll, session: u32, pipe: Option<OwnedFd>) -> Self {
        Self {
            pipe: pipe.map(|pipe| poll.watch(pipe, Token::Input(session))),
            pending: Vec::new(),
            closing: false,
            wide: false,
        }
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
        if !self.is_open() {
            return;
        }
        let done = if self.pending.is_empty() { self.write_now(bytes) } else { 0 };
        self.widen(bytes.len());
        if done < bytes.len() {
            self.pending.extend_from_slice(&bytes[done..]);
            self.flush();
        }
    }

    /// What the pipe takes at once, without a copy.
    fn write_now(&self, bytes: &[u8]) -> usize {
        let Some(pipe) = &self.pipe else { return 0 };
        // Errors come again when the rest is flushed.
        rustix::io::retry_on_intr(|| rustix::io::write(pipe, bytes)).unwrap_or(0)
    }

    /// Much is coming: a wider pipe lets both sides work at once.
    fn widen(&mut self, coming: usize) {
        if coming >= BUSY
            && !std::mem::replace(&mut self.wide, true)
            && let Some(pipe) = &self.pipe
        {
            crate::stdio::widen(pipe);
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
