//! The three standard streams of a process that is about to start.

use std::os::fd::OwnedFd;

use wharf_types::{Result, ResultExt};

/// What becomes descriptors 0, 1 and 2 of a new process.
#[derive(Debug)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: OwnedFd,
    /// Descriptor 1.
    pub stdout: OwnedFd,
    /// Descriptor 2.
    pub stderr: OwnedFd,
}

impl Stdio {
    /// Three separate streams.
    pub fn new(stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self { stdin, stdout, stderr }
    }

    /// One terminal for all three: `slave` is the process's side of a pseudo-terminal. With [`crate::spec::Process::tty`]
    /// set it becomes the controlling terminal.
    pub fn terminal(slave: OwnedFd) -> Result<Self> {
        let duplicate = || slave.try_clone().context("cannot duplicate the terminal");
        Ok(Self { stdin: duplicate()?, stdout: duplicate()?, stderr: slave })
    }
}
