//! Signals as something to read (signalfd(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

/// Signals that are blocked and wait to be read.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks all signals of the calling thread and collects them. Does not block when there are none.
    pub fn block_all() -> io::Result<Self> {
        crate::process::block_all_signals()?;
        // SAFETY: sigset_t is plain integers, for which zero is valid; sigfillset then writes into it, and signalfd reads it.
        let fd = check(unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into()
        })?;
        // SAFETY: the kernel returned a new descriptor, which nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }))
    }

    /// The next signal's number; `None` if there is none.
    pub fn next(&self) -> io::Result<Option<i32>> {
        let mut buffer = [0; std::mem::size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut buffer) {
            Ok(4..) => Ok(Some(i32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]))),
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
