//! The kernel's key rings (keyctl(2)).

use std::io;

use crate::check;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives the process a new session keyring, so that it cannot reach its parent's keys.
///
/// It has no name: a name would join whatever keyring has it already.
pub fn new_session() -> io::Result<()> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: the operation takes one string, or null for a keyring without a name.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) }).map(drop)
}
