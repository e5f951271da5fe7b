//! Tar streams: reading, unpacking into a directory descriptor, writing a tree, writing what an overlay changed.

mod attributes;
mod entry;
mod export;
mod extract;
mod header;
mod pax;
mod place;
mod reader;
mod source;
mod sparse;
mod split;
mod whiteout;
mod writer;

pub(crate) use entry::printable;
pub use entry::{Entry, EntryKind, clean_path};
pub(crate) use export::xattrs as all_xattrs;
pub use export::{Written, diff, export, export_entry, layer};
pub(crate) use extract::{Extractor, Outcome, Style};
pub use reader::Reader;
pub(crate) use split::{Joined, split};
pub(crate) use whiteout::is as is_whiteout;
pub use writer::Writer;

use std::io::Read;
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
///
/// # Errors
/// `InvalidParameter` where a folder stands in the place of a file or the other way round, in Docker's words.
pub fn extract(stream: impl Read, root: BorrowedFd<'_>, limits: &Limits) -> Result<()> {
    extract_with(stream, root, limits, false, &|owner| owner)
}

/// As [`extract()`]; with `owner`, user and group, everything that is unpacked belongs to that one.
///
/// # Errors
/// As [`extract()`].
pub fn extract_as(stream: impl Read, root: BorrowedFd<'_>, limits: &Limits, owner: Option<(u32, u32)>) -> Result<()> {
    extract_with(stream, root, limits, false, &|theirs| owner.unwrap_or(theirs))
}

/// As [`extract()`]; with `replace` a folder gives way to a file and a file to a folder, and `owners` says whose an entry becomes
/// (user and group) by whose it is in the archive.
///
/// # Errors
/// As [`extract()`].
pub fn extract_with(
    stream: impl Read,
    root: BorrowedFd<'_>,
    limits: &Limits,
    replace: bool,
    owners: &dyn Fn((u32, u32)) -> (u32, u32),
) -> Result<()> {
    let mut reader = Reader::new(stream, limits);
    Extractor::new(root, Style::Merge { replace }).with_owners(owners).run(&mut reader)?;
    reader.end()
}

/// Whether an extended attribute belongs to the content. Overlay's own say how layers are stacked: from an archive,
/// they could reach into other layers. SELinux labels belong to the host.
pub(crate) fn xattr_travels(name: &[u8]) -> bool {
    let is_stacking = name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    !is_stacking && name != b"security.selinux"
}
