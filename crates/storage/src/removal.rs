//! Deleting trees by descriptor, without following links, however deep, protected or crowded they are.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{DIR_FLAGS, Descent, entries, is_dir, lstat};

/// Deletes `name` in `parent` and all below it without following links; a missing one is fine.
///
/// Goes on past what cannot be deleted and reports the first such failure.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match unlink(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        // POSIX lets unlink of a folder fail with EPERM.
        Err(Errno::PERM) if lstat(parent, name).is_ok_and(|stat| is_dir(&stat)) => {}
        Err(error) => return Err(error),
    }
    let root = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
    let first_failure = remove_contents(root).err();
    match unlink(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(first_failure.unwrap_or(error)),
    }
}

/// Deletes all that a folder holds, but not the folder.
pub(crate) fn remove_contents(root: OwnedFd) -> rustix::io::Result<()> {
    let mut failure = None;
    let mut descent = Descent::new(root)?;
    let mut pending = vec![remove_files(descent.current(), &mut failure)];
    while let Some(level) = pending.last_mut() {
        let Some(name) = level.last().cloned() else {
            pending.pop();
            descent.leave()?;
            if let Some(done) = pending.last_mut().and_then(Vec::pop) {
                note(unlink(descent.current(), &done, AtFlags::REMOVEDIR), &mut failure);
            }
            continue;
        };
        match descent.enter(&name) {
            Ok(()) => pending.push(remove_files(descent.current(), &mut failure)),
            Err(error) => {
                level.pop();
                note(Err(error), &mut failure);
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Deletes the files of a folder and returns its sub-folders.
fn remove_files(dir: BorrowedFd<'_>, failure: &mut Option<Errno>) -> Vec<CString> {
    let mut folders = Vec::new();
    let names = entries(dir).unwrap_or_else(|error| {
        note(Err(error), failure);
        Vec::new()
    });
    for (name, kind) in names {
        if kind == FileType::Directory {
            folders.push(name);
            continue;
        }
        match unlink(dir, &name, AtFlags::empty()) {
            Err(Errno::ISDIR) => folders.push(name),
            result => note(result, failure),
        }
    }
    folders
}

fn note(result: rustix::io::Result<()>, failure: &mut Option<Errno>) {
    if let Err(error) = result
        && error != Errno::NOENT
    {
        failure.get_or_insert(error);
    }
}

/// `unlinkat`, which takes off an immutable or append-only flag that stands in the way.
fn unlink(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> rustix::io::Result<()> {
    let result = rustix::fs::unlinkat(parent, name, flags);
    if result != Err(Errno::PERM) {
        return result;
    }
    let flags_of_open = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for folder_or_file in [c".", name] {
        if let Ok(fd) = rustix::fs::openat(parent, folder_or_file, flags_of_open, Mode::empty()) {
            clear_protection(fd.as_fd());
        }
    }
    rustix::fs::unlinkat(parent, name, flags)
}

/// Best effort: where it does not work, the unlink that follows tells why.
fn clear_protection(fd: BorrowedFd<'_>) {
    let protection = IFlags::IMMUTABLE | IFlags::APPEND;
    if let Ok(flags) = rustix::fs::ioctl_getflags(fd)
        && flags.intersects(protection)
    {
        rustix::fs::ioctl_setflags(fd, flags - protection).ok();
    }
}
