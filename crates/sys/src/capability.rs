//! Capability sets by 64-bit mask (capabilities(7)), bit n being capability number n.

use std::io;

use crate::check;

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The three sets that capset(2) changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What the process can do now.
    pub effective: u64,
    /// What it may raise.
    pub permitted: u64,
    /// What passes through execve of a file with inheritable capabilities.
    pub inheritable: u64,
}

/// The calling thread's sets.
pub fn get() -> io::Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads a header and writes two data records, which is what the pointers point to.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |part: fn(&Data) -> u32| u64::from(part(&data[0])) | u64::from(part(&data[1])) << 32;
    Ok(Sets {
        effective: join(|data| data.effective),
        permitted: join(|data| data.permitted),
        inheritable: join(|data| data.inheritable),
    })
}

/// Sets the calling thread's sets.
pub fn set(sets: Sets) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two data records, which is what the pointers point to.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Whether a capability is in the bounding set; `None` for one that the kernel does not know.
pub fn bounding(capability: u32) -> Option<bool> {
    // SAFETY: PR_CAPBSET_READ takes an integer.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(capability), 0, 0, 0) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Removes a capability from the bounding set.
pub fn drop_bounding(capability: u32) -> io::Result<()> {
    // SAFETY: PR_CAPBSET_DROP takes an integer.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into()).map(drop)
}

/// Empties the ambient set.
pub fn clear_ambient() -> io::Result<()> {
    // SAFETY: PR_CAP_AMBIENT_CLEAR_ALL takes integers, all others zero.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }.into()).map(drop)
}

/// Adds a capability, which must be permitted and inheritable, to the ambient set.
pub fn raise_ambient(capability: u32) -> io::Result<()> {
    let (raise, number) = (libc::PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(capability));
    // SAFETY: PR_CAP_AMBIENT_RAISE takes integers, the last two zero.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, number, 0, 0) }.into()).map(drop)
}

/// Whether the permitted set outlives a change from user 0 to another.
pub fn keep_over_user_change(keep: bool) -> io::Result<()> {
    // SAFETY: PR_SET_KEEPCAPS takes an integer.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) }.into()).map(drop)
}
