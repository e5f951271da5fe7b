//! Tar streams: reading, unpacking into a directory descriptor, writing a tree, writing what an overlay changed.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use wharf_types::Result;

/// What a tar stream may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of the whole uncompressed stream.
    pub bytes: u64,
}

impl Default for Limits {
    /// Twenty million entries and one tebibyte.
    fn default() -> Self {
        Self { entries: 20_000_000, bytes: 1 << 40 }
    }
}

/// Unpacks a plain tar stream into the folder `root` as `docker cp` does it: entries are merged into what is there,
/// `.wh.` names mean nothing special, and nothing outside `root` is ever touched.
pub fn extract(_stream: impl Read, _root: BorrowedFd<'_>, _limits: &Limits) -> Result<()> {
    todo!()
}

/// Writes the whole tree below `root` as a tar stream in deterministic order, without `root` itself.
pub fn export(_root: BorrowedFd<'_>, _out: impl Write) -> Result<()> {
    todo!()
}

/// Writes one file or folder `name` of folder `parent` as a tar stream whose first entry is called `as_name`
/// (`docker cp` from a container).
pub fn export_entry(_parent: BorrowedFd<'_>, _name: &OsStr, _as_name: &OsStr, _out: impl Write) -> Result<()> {
    todo!()
}

/// Writes an overlay `upper` folder as a layer: whiteouts and opaque folders in OCI's form, deterministic order.
pub fn diff(_upper: BorrowedFd<'_>, _out: impl Write) -> Result<()> {
    todo!()
}
