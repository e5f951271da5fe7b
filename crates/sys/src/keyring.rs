//! The kernel's key rings (keyctl(2)).

use std::ffi::CStr;
use std::io;

use crate::check;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives the process a new session keyring of this name, so that it cannot reach its parent's keys.
pub fn new_session(name: &CStr) -> io::Result<()> {
    // SAFETY: the operation takes one terminated string, alive during the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(drop)
}
