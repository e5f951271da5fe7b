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
pub(crate) struct Caller(OwnedFd);

/// The new process's end.
#[derive(Debug)]
pub(crate) struct Newborn(OwnedFd);

/// Both ends.
pub(crate) fn pair() -> Result<(Caller, Newborn)> {
    let (caller, newborn) = packet::pair().context("cannot make a socket pair")?;
    Ok((Caller(caller), Newborn(newborn)))
}

impl Caller {
    pub(crate) fn send_cgroups(&self, files: &[BorrowedFd<'_>]) -> Result<()> {
        self.send(CGROUPS, files)
    }

    pub(crate) fn release(&self) -> Result<()> {
        self.send(RELEASE, &[])
    }

    /// A new process that is gone already has left a report, which [`Caller::outcome`] finds: no error here.
    fn send(&self, kind: u8, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        match packet::send(&self.0, &[kind], descriptors) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            other => other.context("cannot talk to the new process"),
        }
    }

    /// Waits until the program runs or the new process has failed. The terminal's master side, if there is a terminal.
    pub(crate) fn outcome(&self) -> Result<Option<OwnedFd>> {
        let mut terminal = None;
        let mut executing = false;
        loop {
            match packet::receive_up_to(&self.0, MESSAGE_SIZE) {
                Ok(None) if executing => return Ok(terminal),
                Ok(None) => return Err(died()),
                Ok(Some((message, mut descriptors))) => match message.split_first() {
                    Some((&EXECUTING, _)) => executing = true,
                    Some((&TERMINAL, _)) => terminal = descriptors.pop(),
                    Some((&FAILURE, report)) => return Err(read_report(report)),
                    _ => return Err(Error::system("the new process sent nonsense")),
                },
                // It ended with messages of ours unread, of which the kernel tells before it hands out those of its own.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => return Err(error).context("cannot hear from the new process"),
            }
        }
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
        self.expect(CGROUPS)
    }

    /// Waits for the permission to go on.
    pub(crate) fn wait_for_release(&self) -> Result<()> {
        self.expect(RELEASE).map(drop)
    }

    fn expect(&self, kind: u8) -> Result<Vec<OwnedFd>> {
        let message = packet::receive_up_to(&self.0, 16).context("cannot hear from the caller")?;
        match message {
            Some((message, descriptors)) if message == [kind] => Ok(descriptors),
            Some(_) => Err(Error::system("the caller sent nonsense")),
            None => Err(Error::unavailable("the process that was starting this container has died")),
        }
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
