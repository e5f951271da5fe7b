//! A thin layer over epoll(7): descriptors that know what they wait for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::log::Stream;

/// What a descriptor is to the monitor. Numbers are never used twice, so an event that comes late finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// `monitor.sock`.
    Listener,
    /// An engine.
    Connection(u32),
    /// The end of a session's process.
    Process(u32),
    /// A session's output.
    Output(u32, Stream),
    /// A session's standard input.
    Input(u32),
    /// The channel to a process that is being started.
    Launch(u32),
    /// A session's client.
    Client(u32, u32),
    /// A health check's connection.
    Probe,
    /// A socket of the name server.
    Names(u32),
    /// A port whose bytes are passed on.
    Relay(u32),
    /// One end of a connection whose bytes are passed on.
    Relayed(u32, u32),
    /// The connection to a log collector.
    Log,
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number, detail) = match self {
            Token::Listener => (0, 0, 0),
            Token::Connection(number) => (1, number, 0),
            Token::Process(session) => (2, session, 0),
            Token::Output(session, stream) => (3, session, u32::from(stream.number())),
            Token::Input(session) => (4, session, 0),
            Token::Client(session, client) => (5, session, client),
            Token::Probe => (6, 0, 0),
            Token::Launch(session) => (8, session, 0),
            Token::Names(number) => (10, number, 0),
            Token::Relay(number) => (11, number, 0),
            Token::Relayed(number, end) => (12, number, end),
            Token::Log => (7, 0, 0),
        };
        (kind << 60) | (u64::from(number) << DETAIL_BITS) | u64::from(detail)
    }

    fn unpack(packed: u64) -> Option<Self> {
        let (number, detail) = ((packed >> DETAIL_BITS) as u32, packed as u32 & ((1 << DETAIL_BITS) - 1));
        Some(match packed >> 60 {
            0 => Token::Listener,
            1 => Token::Connection(number),
            2 => Token::Process(number),
            3 if detail == 1 => Token::Output(number, Stream::Stdout),
            3 => Token::Output(number, Stream::Stderr),
            4 => Token::Input(number),
            5 => Token::Client(number, detail),
            6 => Token::Probe,
            8 => Token::Launch(number),
            10 => Token::Names(number),
            11 => Token::Relay(number),
            12 => Token::Relayed(number, detail),
            7 => Token::Log,
            _ => return None,
        })
    }
}

/// How many bits of an event's 64 hold the number of a client within its session.
const DETAIL_BITS: u32 = 28;

/// The set of descriptors that are waited for.
#[derive(Debug, Clone)]
pub(crate) struct Poll(Rc<OwnedFd>);

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Rc::new(epoll::create(CreateFlags::CLOEXEC)?)))
    }

    /// Waits for events, at most for `timeout`.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, EventFlags)>> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut space = [MaybeUninit::<Event>::uninit(); 16];
        let (events, _) = match epoll::wait(&*self.0, &mut space, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Vec::new()),
            result => result?,
        };
        Ok(events.iter().filter_map(|event| Some((Token::unpack(event.data.u64())?, event.flags))).collect())
    }

    /// Takes a descriptor in, not yet waiting for anything.
    pub(crate) fn watch(&self, fd: OwnedFd, token: Token) -> Watched {
        Watched { fd, poll: self.clone(), token, interest: None }
    }
}

/// A descriptor in a [`Poll`], which it leaves when dropped, even if another process still has the same file open.
#[derive(Debug)]
pub(crate) struct Watched {
    fd: OwnedFd,
    poll: Poll,
    token: Token,
    interest: Option<EventFlags>,
}

impl Watched {
    /// Waits for `interest` from now on, and always for hang-up and errors; for nothing at all with `None`.
    pub(crate) fn want(&mut self, interest: Option<EventFlags>) -> io::Result<()> {
        if interest == self.interest {
            return Ok(());
        }
        let data = EventData::new_u64(self.token.pack());
        match (self.interest, interest) {
            (None, Some(flags)) => epoll::add(&*self.poll.0, &self.fd, data, flags)?,
            (Some(_), Some(flags)) => epoll::modify(&*self.poll.0, &self.fd, data, flags)?,
            (_, None) => epoll::delete(&*self.poll.0, &self.fd)?,
        }
        self.interest = interest;
        Ok(())
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A failure means that it was not in the set, which is what is wanted.
        let _ = self.want(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_survive_the_kernel(session in any::<u32>(), detail in 0_u32..1 << DETAIL_BITS) {
            let tokens = [
                Token::Listener,
                Token::Connection(session),
                Token::Process(session),
                Token::Output(session, Stream::Stdout),
                Token::Output(session, Stream::Stderr),
                Token::Input(session),
                Token::Client(session, detail),
                Token::Launch(session),
                Token::Probe,
                Token::Names(session),
                Token::Relay(session),
                Token::Relayed(session, detail),
                Token::Log,
            ];
            for token in tokens {
                prop_assert_eq!(Token::unpack(token.pack()), Some(token));
            }
        }
    }

    #[test]
    fn a_descriptor_that_lives_on_elsewhere_gives_no_more_events() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let poll = Poll::new().unwrap();
        let copy = reader.try_clone().unwrap();
        let mut watched = poll.watch(reader, Token::Input(7));
        watched.want(Some(EventFlags::IN)).unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(poll.wait(None).unwrap(), [(Token::Input(7), EventFlags::IN)]);
        drop(watched);
        assert_eq!(poll.wait(Some(Duration::ZERO)).unwrap(), []);
        drop(copy);
    }
}
