//! Files: selecting them in a tree, telling whether they are the same, and putting them into a layer.
//!
//! Blocking, and by descriptor throughout: no name from a context or an image is resolved by the host as a path.

mod archive;
mod copy;
mod fingerprint;
mod owner;
mod select;

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use wharf_sys::path::open_in_root;
use wharf_types::{Digest, Result, ResultExt};

use crate::ignore::Ignore;

pub use archive::is_archive;
pub use copy::{Placed, Target, make_folder, place};
pub use fingerprint::fingerprint;
pub use owner::{Owner, change_mode, find_owner};
pub use select::{Selected, select};

/// The time of what the build itself makes, where `SOURCE_DATE_EPOCH` says nothing: 1980, before which some archivers
/// cannot count.
pub const MADE: i64 = 315_532_800;

/// A tree of files to copy from.
#[derive(Clone)]
pub struct Tree {
    root: Arc<OwnedFd>,
    /// What is left out.
    ignore: Arc<Ignore>,
    /// Digests that are known already, by path from the root.
    known: Arc<HashMap<String, Digest>>,
    /// Everything belongs to root, whoever owns it here: for contexts.
    of_root: bool,
}

impl Tree {
    /// The files of an image or a stage.
    pub fn of_layers(root: OwnedFd) -> Self {
        Self { root: Arc::new(root), ignore: Arc::default(), known: Arc::default(), of_root: false }
    }

    /// The files of a context.
    pub fn of_context(root: OwnedFd, ignore: Ignore, known: HashMap<String, Digest>) -> Self {
        Self { root: Arc::new(root), ignore: Arc::new(ignore), known: Arc::new(known), of_root: true }
    }

    /// The root folder.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path inside, following links inside only.
    pub fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        open_in_root(&*self.root, path, flags, Mode::empty())
    }

    fn skips(&self, path: &str) -> bool {
        !self.ignore.is_empty() && self.ignore.excludes(path) && self.ignore.prunes(path)
    }
}

/// The names in a folder, sorted.
fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn lstat(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Stat> {
    Ok(rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn open_file(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn times(seconds: i64, nanos: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() || folder == "." { name.to_owned() } else { format!("{folder}/{name}") }
}

fn chown(fd: BorrowedFd<'_>, owner: Owner) -> io::Result<()> {
    Ok(rustix::fs::fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?)
}

/// Reads a small text inside a tree; empty where it is missing.
pub(crate) fn read_text(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let Ok(fd) = open_in_root(root, path, flags, Mode::empty()) else { return Ok(String::new()) };
    let mut text = Vec::new();
    let mut limited = io::Read::take(std::fs::File::from(fd), 16 << 20);
    io::Read::read_to_end(&mut limited, &mut text).with_context(|| format!("cannot read {path}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
