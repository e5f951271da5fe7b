//! Owner, mode, extended attributes and time of what was just put into place.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::entry::{Entry, EntryKind};
use super::extract::Extractor;
use super::place::{Parent, Place};
use crate::dir::DIR_FLAGS;

impl Extractor<'_> {
    /// Owner, then mode, because a change of owner takes set-uid bits away; attributes after the data, because
    /// writing takes capabilities away; the time last.
    pub(super) fn finish_file(
        &mut self,
        entry: &Entry,
        file: BorrowedFd<'_>,
        parent: &Parent,
    ) -> rustix::io::Result<()> {
        let has_owner = parent.is_plain && (entry.uid, entry.gid) == (0, 0);
        if !has_owner {
            rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
        }
        if !parent.is_plain || entry.mode & (self.umask | 0o7000) != 0 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
        }
        self.set_xattrs(file, entry)?;
        rustix::fs::futimens(file, &timestamps(entry.mtime))
    }

    pub(super) fn finish_folder(
        &mut self,
        entry: &Entry,
        place: &Place,
        name: &CStr,
        parent: &Parent,
    ) -> rustix::io::Result<()> {
        let folder = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
        set_owner_and_mode(folder.as_fd(), entry)?;
        self.set_xattrs(folder.as_fd(), entry)?;
        self.folder_times.push((place.path(), entry.mtime));
        Ok(())
    }

    /// Links, devices and pipes cannot be opened for this; they are reached through an `O_PATH` descriptor.
    pub(super) fn finish_other(&mut self, entry: &Entry, name: &CStr, parent: &Parent) -> rustix::io::Result<()> {
        let is_link = entry.kind == EntryKind::Symlink;
        if !parent.is_plain || (entry.uid, entry.gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !is_link && (!parent.is_plain || entry.mode & (self.umask | 0o7000) != 0) {
            let fd = path_fd(parent, name)?;
            rustix::fs::chmod(proc_path(&fd), Mode::from_raw_mode(entry.mode))?;
        }
        if !entry.xattrs.is_empty() {
            let fd = path_fd(parent, name)?;
            let path = proc_path(&fd);
            self.for_xattrs(entry, |name, value| rustix::fs::setxattr(&path, name, value, XattrFlags::empty()))?;
        }
        rustix::fs::utimensat(parent, name, &timestamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn set_xattrs(&mut self, fd: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
        self.for_xattrs(entry, |name, value| rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()))
    }

    pub(super) fn for_xattrs(
        &mut self,
        entry: &Entry,
        set: impl Fn(&CStr, &[u8]) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<()> {
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| super::xattr_travels(name)) {
            let name = CString::new(&name[..]).map_err(|_| Errno::INVAL)?;
            // From here on, modes follow the access control list.
            if name.as_bytes() == b"system.posix_acl_default" {
                self.umask = 0o7777;
            }
            match set(&name, value) {
                // The file system has no such attributes, or not on this kind of file: as everyone does, go without.
                Err(Errno::NOTSUP) => {}
                Err(Errno::PERM) if name.as_bytes().starts_with(b"user.") => {}
                other => other?,
            }
        }
        Ok(())
    }
}

pub(super) fn set_owner_and_mode(fd: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
    let stat: Stat = rustix::fs::fstat(fd)?;
    if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    }
    if stat.st_mode & 0o7777 == entry.mode && entry.mode & 0o6000 == 0 {
        return Ok(());
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))
}

pub(super) fn timestamps((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) };
    Timestamps { last_access: time, last_modification: time }
}

fn path_fd(parent: &Parent, name: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The kernel's name for an open descriptor, which must stay open; it leads to that very file, link or not.
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd))
}
