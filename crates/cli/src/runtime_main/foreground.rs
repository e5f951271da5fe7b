//! Staying with a process until it ends: its signals, its terminal, its exit code.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{isatty, tcgetwinsize, tcsetwinsize};
use wharf_runtime::Child;
use wharf_types::{Error, Result, ResultExt};

use crate::terminal::raw::Raw;

const CHLD: i32 = 17;
const WINCH: i32 = 28;
const URG: i32 = 23;

/// Signals that came for this process since [`Signals::block`].
pub struct Signals(wharf_sys::signal::Signals);

impl Signals {
    /// From now on signals are collected, to be passed on.
    pub fn block() -> Result<Self> {
        wharf_sys::signal::Signals::block_all().map(Self).context("cannot block signals")
    }
}

/// Waits until the process has ended; its exit code.
pub fn wait(child: &Child, terminal: Option<OwnedFd>, signals: &Signals) -> Result<u8> {
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let _raw = match &terminal {
        Some(_) if isatty(stdin) => Some(Raw::enter().context("cannot make the terminal raw")?),
        _ => None,
    };
    let mut relay = Relay { terminal, input_open: true };
    relay.resize(stdin);
    loop {
        let ready = relay.poll(child, signals).context("cannot wait")?;
        while let Some(signal) = signals.0.next().context("cannot read signals")? {
            match signal {
                WINCH => relay.resize(stdin),
                CHLD | URG => {}
                // It may just have ended.
                other => drop(child.kill(other)),
            }
        }
        if ready.input {
            relay.pass_input(stdin);
        }
        if ready.output {
            relay.pass_output(stdout);
        }
        if let Some(code) = child.try_wait()? {
            relay.pass_output(stdout);
            return Ok(u8::try_from(code).unwrap_or(255));
        }
    }
}

struct Relay {
    terminal: Option<OwnedFd>,
    input_open: bool,
}

struct Ready {
    input: bool,
    output: bool,
}

impl Relay {
    fn poll(&self, child: &Child, signals: &Signals) -> io::Result<Ready> {
        let pidfd = child.pidfd();
        let mut set = vec![PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&signals.0, PollFlags::IN)];
        let stdin = rustix::stdio::stdin();
        if let Some(terminal) = &self.terminal {
            set.push(PollFd::new(terminal, PollFlags::IN));
            if self.input_open {
                set.push(PollFd::new(&stdin, PollFlags::IN));
            }
        }
        rustix::io::retry_on_intr(|| poll(&mut set, None))?;
        let is_ready = |index: usize| set.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { output: is_ready(2), input: is_ready(3) })
    }

    fn resize(&self, from: BorrowedFd<'_>) {
        if let Some((terminal, size)) = self.terminal.as_ref().zip(tcgetwinsize(from).ok()) {
            // A process that has ended has no size.
            let _ended = tcsetwinsize(terminal, size);
        }
    }

    fn pass_input(&mut self, stdin: BorrowedFd<'_>) {
        let mut buffer = [0; 4096];
        let Some(terminal) = &self.terminal else { return };
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => {
                self.input_open = false;
                // Ctrl-D: what a terminal has for an end.
                let _ended = write_all(terminal.as_fd(), &[4]);
            }
            Ok(length) => self.input_open = write_all(terminal.as_fd(), &buffer[..length]).is_ok(),
            Err(_) => self.input_open = false,
        }
    }

    /// Everything that is there. A terminal whose process has ended says so by an error.
    fn pass_output(&mut self, stdout: BorrowedFd<'_>) {
        let mut buffer = [0; 16384];
        while let Some(terminal) = &self.terminal {
            match rustix::io::read(terminal, &mut buffer) {
                Ok(length @ 1..) => {
                    if write_all(stdout, &buffer[..length]).is_err() {
                        self.terminal = None;
                    }
                }
                _ => self.terminal = None,
            }
            let more = self.terminal.as_ref().is_some_and(|terminal| {
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&now)).is_ok_and(|count| count > 0)
            });
            if !more {
                return;
            }
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)).map_err(io::Error::from)?;
        bytes = bytes.get(written..).ok_or_else(|| Error::system("wrote too much"))?;
    }
    Ok(())
}
