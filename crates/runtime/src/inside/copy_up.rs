//! A fresh tmpfs that starts with what it hides (`tmpcopyup`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fchmod, fchown, fstat, mkdirat, openat, readlinkat,
    statat, symlinkat,
};
use wharf_sys::path::open_beneath;

/// Copies folders, files and links below `source` (a path descriptor) into `target`, with owners and modes.
pub(super) fn fill(source: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let status = fstat(source)?;
    if !FileType::from_raw_mode(status.st_mode).is_dir() {
        return Ok(());
    }
    let reopen = |fd: &OwnedFd| open_beneath(fd, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let (source, target) = (reopen(source)?, reopen(target)?);
    copy_folder(&source, &target)?;
    own(&target, &status)
}

fn copy_folder(source: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let status = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                mkdirat(target, name, Mode::from_raw_mode(0o700))?;
                let inner = openat(source, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                let copy = openat(target, name, flags | OFlags::DIRECTORY, Mode::empty())?;
                copy_folder(&inner, &copy)?;
                own(&copy, &status)?;
            }
            FileType::RegularFile => {
                let from = openat(source, name, flags, Mode::empty())?;
                let create = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let to = openat(target, name, create, Mode::from_raw_mode(0o600))?;
                io::copy(&mut std::fs::File::from(from), &mut std::fs::File::from(to.try_clone()?))?;
                own(&to, &status)?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(source, name, Vec::new())?, target, name)?;
                let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
                chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            // Sockets, pipes and devices belong to whoever made them.
            _ => {}
        }
    }
    Ok(())
}

fn own(fd: impl AsFd, status: &Stat) -> io::Result<()> {
    fchown(&fd, Some(Uid::from_raw(status.st_uid)), Some(Gid::from_raw(status.st_gid)))?;
    fchmod(&fd, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    Ok(())
}
