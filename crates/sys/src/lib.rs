//! The system calls of wharf: the only crate with unsafe code.
//!
//! It wraps only what `rustix` and `nix` lack; everything here is a thin, safe function over one kernel interface.

pub mod arguments;
pub mod bpf;
pub mod capability;
pub mod exe;
pub mod inherit;
pub mod kernel;
pub mod keyring;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod net;
pub mod packet;
pub mod path;
pub mod process;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod terminal;

use std::io;

/// A system call's return value as a `Result`.
fn check(value: libc::c_long) -> io::Result<libc::c_long> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
