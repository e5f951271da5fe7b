//! What the caller and the new process say to each other between clone and execve.
//!
//! A packet's first byte is its kind. The channel is close-on-exec: its end after [`EXECUTING`] and without a failure
//! report means that the program runs.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};
use wharf_sys::packet;
use wharf_types::{Error, Kind, Result, ResultExt};

/// Enough for any message of this channel.
const MESSAGE_SIZE: usize = 16 * 1024;

/// To the new process: join these cgroups; the descriptors are the files to write to.
const CGROUPS: u8 = b'c';
/// To the new process: everything is ready, go.
const RELEASE: u8 = b'r';
/// From the new process: the descriptor is its terminal's master side.
const TERMINAL: u8 = b't';
/// From the new process: its file systems are mounted, the root is still the host's.
const MOUNTED: u8 = b'm';
/// From the new process: everything is ready, it waits at its gate.
const CREATED: u8 = b'w';
/// From the new process: the descriptor is where its system calls are notified of.
const LISTENER: u8 = b'l';
/// From the new process: nothing but execve is left to do.
const EXECUTING: u8 = b'x';
/// From the new process: it failed, and why.
const FAILURE: u8 = b'f';

/// A failure as it travels.
#[derive(Serialize, Deserialize)]
struct Report {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Caller {
    socket: OwnedFd,
    /// The terminal's master side, once it has come.
    terminal: Option<OwnedFd>,
    /// Whether nothing but execve is left to do.
    executing: bool,
    /// Why it failed, once it has said so.
    failure: Option<Error>,
}

/// What one look at the channel brought.
enum News {
    Reached(Stage),
    Failed(Error),
    /// Its end, without a word.
    Gone,
    /// Something that is no stage.
    Word,
    /// Nothing yet; only on a channel that does not block.
    Nothing,
}

/// How far the new process has come.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Mounted,
    Created,
    Executed,
}

/// The new process's end.
#[derive(Debug)]
pub(crate) struct Newborn(OwnedFd);

/// Both ends.
pub(crate) fn pair() -> Result<(Caller, Newborn)> {
    let (caller, newborn) = packet::pair().context("cannot make a socket pair")?;
    Ok((Caller::new(caller), Newborn(newborn)))
}

impl AsFd for Caller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Caller {
    /// The end of a connection to a new process, for instance to its gate.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, terminal: None, executing: false, failure: None }
    }

    pub(crate) fn send_cgroups(&self, files: &[BorrowedFd<'_>]) -> Result<()> {
        self.send(&[CGROUPS], files)
    }

    pub(crate) fn release(&self) -> Result<()> {
        self.send(&[RELEASE], &[])
    }

    /// As [`Caller::release`], with the container's state for the hooks that the new process runs.
    pub(crate) fn release_with(&self, state: &str) -> Result<()> {
        let mut message = vec![RELEASE];
        message.extend_from_slice(state.as_bytes());
        self.send(&message, &[])
    }

    /// A new process that is gone already has left a report, which [`Caller::outcome`] finds: no error here.
    fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        match packet::send(&self.socket, message, descriptors) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            other => other.context("cannot talk to the new process"),
        }
    }

    /// Waits until all is mounted.
    pub(crate) fn until_mounted(&mut self) -> Result<()> {
        self.until(&Stage::Mounted, &mut |_| Ok(()))
    }

    /// Waits until the new process stands at its gate. The terminal's master side, if there is a terminal.
    pub(crate) fn until_created(&mut self) -> Result<Option<OwnedFd>> {
        self.until(&Stage::Created, &mut |_| Ok(())).map(|()| self.terminal.take())
    }

    /// Waits until the program runs or the new process has failed. The terminal's master side, if there is a terminal.
    ///
    /// `listen` gets the descriptor on which the program's system calls are notified of, if there is one.
    pub(crate) fn outcome(&mut self, listen: &mut dyn FnMut(OwnedFd) -> Result<()>) -> Result<Option<OwnedFd>> {
        self.until(&Stage::Executed, listen).map(|()| self.terminal.take())
    }

    /// From now on [`Caller::look`] does not block.
    pub(crate) fn unblock(&self) -> Result<()> {
        rustix::io::ioctl_fionbio(&self.socket, true).map_err(std::io::Error::from).context("cannot set up a socket")
    }

    /// Whether the program runs by now. A failure is told only when the new process has closed the channel, which it does on
    /// its last instructions in the kernel, so that waiting for its end takes no time.
    pub(crate) fn look(&mut self, listen: &mut dyn FnMut(OwnedFd) -> Result<()>) -> Result<bool> {
        loop {
            match self.next(listen)? {
                News::Nothing => return Ok(false),
                News::Word => {}
                News::Failed(error) => self.failure = Some(error),
                News::Gone => return Err(self.failure.take().unwrap_or_else(died)),
                News::Reached(Stage::Executed) => return self.failure.take().map_or(Ok(true), Err),
                News::Reached(_) => {}
            }
        }
    }

    pub(crate) fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    fn until(&mut self, stage: &Stage, listen: &mut dyn FnMut(OwnedFd) -> Result<()>) -> Result<()> {
        loop {
            match self.next(listen)? {
                News::Reached(reached) if reached == *stage => return Ok(()),
                News::Reached(Stage::Executed) => return Err(Error::system("the program ran too early")),
                News::Failed(error) => return Err(error),
                News::Gone => return Err(died()),
                News::Reached(_) | News::Word | News::Nothing => {}
            }
        }
    }

    fn next(&mut self, listen: &mut dyn FnMut(OwnedFd) -> Result<()>) -> Result<News> {
        let received = match packet::receive_up_to(&self.socket, MESSAGE_SIZE) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(News::Nothing),
            // It ended with messages of ours unread, of which the kernel tells before it hands out those of its own.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(News::Word),
            Err(error) => return Err(error).context("cannot hear from the new process"),
        };
        let Some((message, mut descriptors)) = received else {
            return Ok(if self.executing { News::Reached(Stage::Executed) } else { News::Gone });
        };
        match message.split_first() {
            Some((&MOUNTED, _)) => return Ok(News::Reached(Stage::Mounted)),
            Some((&CREATED, _)) => return Ok(News::Reached(Stage::Created)),
            Some((&FAILURE, report)) => return Ok(News::Failed(read_report(report))),
            Some((&EXECUTING, _)) => self.executing = true,
            Some((&TERMINAL, _)) => self.terminal = descriptors.pop(),
            Some((&LISTENER, _)) => descriptors.pop().map_or(Ok(()), &mut *listen)?,
            _ => return Err(Error::system("the new process sent nonsense")),
        }
        Ok(News::Word)
    }
}

fn died() -> Error {
    Error::system("the new process died before its program ran")
        .with_hint("the kernel may have killed it: is the memory limit large enough?")
}

fn read_report(report: &[u8]) -> Error {
    match serde_json::from_slice::<Report>(report) {
        Ok(Report { kind, message, hint: None }) => Error::new(kind, message),
        Ok(Report { kind, message, hint: Some(hint) }) => Error::new(kind, message).with_hint(hint),
        Err(error) => Error::system("the new process sent an unreadable report").caused_by(error),
    }
}

impl Newborn {
    /// Waits for the cgroup files to join by.
    pub(crate) fn receive_cgroups(&self) -> Result<Vec<OwnedFd>> {
        self.expect(CGROUPS, 16).map(|(_, descriptors)| descriptors)
    }

    /// Waits for the permission to go on.
    pub(crate) fn wait_for_release(&self) -> Result<()> {
        self.expect(RELEASE, 16).map(drop)
    }

    /// Says that all is mounted, and waits for the permission to go on: the container's state.
    pub(crate) fn pause_mounted(&self) -> Result<String> {
        packet::send(&self.0, &[MOUNTED], &[]).context("cannot talk to the caller")?;
        self.expect(RELEASE, packet::MAX_MESSAGE).map(|(state, _)| state)
    }

    /// Says that everything is ready, lets the caller go, and waits at the gate until someone else comes who releases this
    /// process; that one is the caller from now on. The container's state.
    pub(crate) fn wait_at(&mut self, gate: &OwnedFd) -> Result<String> {
        packet::send(&self.0, &[CREATED], &[]).context("cannot talk to the caller")?;
        loop {
            let accepted = rustix::net::accept_with(gate, rustix::net::SocketFlags::CLOEXEC);
            self.0 = match accepted {
                Ok(connection) => connection,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
                Err(error) => return Err(std::io::Error::from(error)).context("cannot wait for the start"),
            };
            // Who only looks whether somebody waits here says nothing.
            if let Ok((state, _)) = self.expect(RELEASE, packet::MAX_MESSAGE) {
                return Ok(state);
            }
        }
    }

    fn expect(&self, kind: u8, size: usize) -> Result<(String, Vec<OwnedFd>)> {
        let message = packet::receive_up_to(&self.0, size).context("cannot hear from the caller")?;
        match message {
            Some((mut message, descriptors)) if message.first() == Some(&kind) => {
                message.remove(0);
                Ok((String::from_utf8_lossy(&message).into_owned(), descriptors))
            }
            Some(_) => Err(Error::system("the caller sent nonsense")),
            None => Err(Error::unavailable("the process that was starting this container has died")),
        }
    }

    /// Hands over where this process's system calls are notified of.
    pub(crate) fn send_listener(&self, listener: impl AsFd) -> Result<()> {
        packet::send(&self.0, &[LISTENER], &[listener.as_fd()]).context("cannot hand over the seccomp listener")
    }

    pub(crate) fn send_terminal(&self, master: impl AsFd) -> Result<()> {
        packet::send(&self.0, &[TERMINAL], &[master.as_fd()]).context("cannot hand over the terminal")
    }

    /// Only execve is left; [`Newborn::report`] may still follow.
    pub(crate) fn announce(&self) -> Result<()> {
        packet::send(&self.0, &[EXECUTING], &[]).context("cannot talk to the caller")
    }

    /// Says why the program does not run. If not even that works there is nobody left to tell.
    pub(crate) fn report(&self, error: &Error) {
        let mut message = error.chain();
        message.truncate(message.floor_char_boundary(4000));
        let report = Report { kind: error.kind(), message, hint: error.hint().map(str::to_owned) };
        let mut packet = vec![FAILURE];
        if serde_json::to_writer(&mut packet, &report).is_ok() {
            let _nobody_left = packet::send(&self.0, &packet, &[]);
        }
    }
}
