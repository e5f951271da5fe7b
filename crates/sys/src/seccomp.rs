//! Loading a seccomp filter (seccomp(2)).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::check;

/// One instruction of classic BPF, as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip if the comparison holds.
    pub jt: u8,
    /// How many to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// How a filter is installed (seccomp(2), SECCOMP_FILTER_FLAG_*).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// All threads get it.
    pub all_threads: bool,
    /// Denied calls are recorded in the audit log.
    pub log: bool,
    /// Without the mitigation of speculative store bypass.
    pub allow_speculation: bool,
    /// Another process decides about calls: its descriptor is returned.
    pub notify: bool,
    /// A call that was notified of is interrupted only by a fatal signal (kernel 5.19).
    pub wait_killable: bool,
}

/// Installs a filter for the calling thread. Needs CAP_SYS_ADMIN or no_new_privs.
///
/// The descriptor on which calls are notified of, if that was asked for.
pub fn install(filter: &[Instruction], manner: Manner) -> io::Result<Option<OwnedFd>> {
    let len = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut().cast() };
    let bits = [
        (manner.all_threads, libc::SECCOMP_FILTER_FLAG_TSYNC),
        (manner.log, libc::SECCOMP_FILTER_FLAG_LOG),
        (manner.allow_speculation, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
        (manner.notify, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
        (manner.notify && manner.all_threads, libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
        (manner.wait_killable, libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
    ];
    let flags = bits.iter().filter(|(wanted, _)| *wanted).fold(0, |flags, (_, bit)| flags | bit);
    // SAFETY: `program` points to `len` instructions of the layout of sock_filter, which the kernel only reads.
    let value =
        check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })?;
    // SAFETY: with NEW_LISTENER the kernel returned a new descriptor, which nobody else owns.
    Ok(manner.notify.then(|| unsafe { OwnedFd::from_raw_fd(value as libc::c_int) }))
}
