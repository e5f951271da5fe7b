//! The three standard streams of a process that is about to start.

use std::os::fd::OwnedFd;

/// What becomes descriptors 0, 1 and 2 of a new process.
#[derive(Debug)]
pub enum Stdio {
    /// Three separate streams.
    Streams {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// A pseudo-terminal for all three, allocated from the container's own /dev/pts so that it has a name there. It is
    /// the controlling terminal; its master side is [`crate::Child::take_terminal`].
    Terminal,
}

impl Stdio {
    /// Three separate streams.
    pub fn streams(stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Self {
        Self::Streams { stdin, stdout, stderr }
    }
}
