//! Descriptors that the process was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::check;

/// The numbers that have been taken, one bit each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes over descriptor `number` (3 to 63), which the process inherited, and marks it close-on-exec. Each can be taken once.
///
/// To be called before the process opens anything, so that the number cannot be somebody else's.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    if !(3..64).contains(&number) || TAKEN.fetch_or(1 << number, Ordering::Relaxed) & (1 << number) != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: F_SETFD changes a flag of a descriptor or fails if there is none.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the descriptor is open, it was inherited, so no object of this process owns it, and it is handed out once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
