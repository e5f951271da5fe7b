//! Pseudo-terminals: what rustix lacks.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::check;

/// Makes a terminal the controlling one of the calling session leader (TIOCSCTTY).
pub fn make_controlling(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer; 0 does not steal the terminal from another session.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}
