//! Unfinished and dying things in a store: out of sight of everyone, and deleted when they go out of scope.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use wharf_types::{Result, ResultExt};

use crate::dir::DIR_FLAGS;
use crate::removal::remove_tree;

/// A file or folder in a store's folder for unfinished work that is deleted unless it is published or kept.
pub(crate) struct Temporary {
    parent: Arc<OwnedFd>,
    name: CString,
    keep: bool,
}

impl Temporary {
    /// Makes a new file, open for reading and writing.
    pub(crate) fn file(parent: &Arc<OwnedFd>) -> Result<(Self, File)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = |name: &CStr| rustix::fs::openat(&**parent, name, flags, Mode::from_raw_mode(0o644));
        let (this, fd) = Self::with(parent, make).map_err(io::Error::from).context("cannot create a temporary file")?;
        Ok((this, File::from(fd)))
    }

    /// Makes a new folder that only its owner may enter.
    pub(crate) fn folder(parent: &Arc<OwnedFd>) -> Result<(Self, OwnedFd)> {
        let make = |name: &CStr| rustix::fs::mkdirat(&**parent, name, Mode::RWXU);
        let open = |(this, ()): (Self, ())| {
            let fd = rustix::fs::openat(&**parent, &*this.name, DIR_FLAGS, Mode::empty())?;
            Ok((this, fd))
        };
        let made = Self::with(parent, make).and_then(open).map_err(io::Error::from);
        made.context("cannot create a temporary folder")
    }

    /// A file that is there already and stays if it is not published.
    pub(crate) fn kept(parent: &Arc<OwnedFd>, name: &str) -> Result<Self> {
        let name = CString::new(name).map_err(io::Error::from).context("cannot name a file")?;
        Ok(Self { parent: parent.clone(), name, keep: true })
    }

    /// Calls `make` with names until one was free.
    fn with<T>(parent: &Arc<OwnedFd>, make: impl Fn(&CStr) -> rustix::io::Result<T>) -> rustix::io::Result<(Self, T)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = CString::new(format!("{}-{number}", std::process::id())).map_err(|_| Errno::INVAL)?;
            match make(&name) {
                Err(Errno::EXIST) => {}
                made => return made.map(|made| (Self { parent: parent.clone(), name, keep: false }, made)),
            }
        }
    }

    pub(crate) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }
}

impl Drop for Temporary {
    /// After a publishing rename there is nothing left to delete; a failure here is made good at the next open.
    fn drop(&mut self) {
        if !self.keep {
            remove_tree(self.parent.as_fd(), &self.name).ok();
        }
    }
}

/// Something that was taken out of a store in one step; it is deleted when this is dropped.
#[must_use = "dropping deletes, which may take long: drop it after releasing locks"]
pub struct Grave(Temporary);

impl Grave {
    /// Moves `name` of `from` aside; `None` where it is missing.
    pub(crate) fn dig(ingest: &Arc<OwnedFd>, from: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Option<Self>> {
        let moved = Temporary::with(ingest, |grave| {
            rustix::fs::renameat_with(from, name, &**ingest, grave, RenameFlags::NOREPLACE)
        });
        match moved {
            Ok((temporary, ())) => Ok(Some(Self(temporary))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes it now and says whether that worked.
    pub(crate) fn delete(self) -> rustix::io::Result<()> {
        remove_tree(self.0.parent(), self.0.name())
    }
}
