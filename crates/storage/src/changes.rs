//! What an overlay's upper folder changes of the layers below it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use wharf_types::{Result, ResultExt};

use crate::dir::{self, DIR_FLAGS, Descent};
use crate::tar::is_whiteout;

/// How a path differs from what is below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Its content, its metadata, or what is in it.
    Modified,
    /// There is none below.
    Added,
    /// There is one below only.
    Deleted,
}

/// A path from the root on, beginning with a slash, and how it differs.
pub type Changed = (Vec<u8>, Difference);

/// Compares `upper` with the tree `below`, in the order of the names. The paths of `skip` are left out, and so are folders
/// that are in `upper` only for the sake of something in them, and empty ones of `frame`.
pub fn changes(upper: BorrowedFd<'_>, below: BorrowedFd<'_>, skip: &[&[u8]], frame: &[&[u8]]) -> Result<Vec<Changed>> {
    walk(upper, below, skip, frame).context("cannot compare the container with its image")
}

/// A folder that is being looked through.
struct Level {
    /// Names yet to come, the next one last.
    names: Vec<CString>,
    /// How many changes there were before it, its own not counted.
    before: usize,
    /// Whether it differs from the one below in nothing but, perhaps, what is in it.
    same: bool,
}

fn walk(upper: BorrowedFd<'_>, below: BorrowedFd<'_>, skip: &[&[u8]], frame: &[&[u8]]) -> io::Result<Vec<Changed>> {
    let mut changed = Vec::new();
    let mut path = Vec::new();
    let mut descent = Descent::new(rustix::fs::openat(upper, c".", DIR_FLAGS, Mode::empty())?)?;
    let mut levels = vec![Level { names: sorted(descent.current())?, before: 0, same: false }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            let nothing_inside = changed.len() == level.before + 1;
            if level.same && nothing_inside {
                changed.pop();
            }
            levels.pop();
            descent.leave()?;
            path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
            continue;
        };
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.to_bytes());
        if !skip.contains(&path.as_slice()) {
            let stat = dir::lstat(descent.current(), &name)?;
            let there = find(below, &path)?;
            let before = changed.len();
            let difference = match &there {
                _ if is_whiteout(&stat) => Difference::Deleted,
                Some(_) => Difference::Modified,
                None => Difference::Added,
            };
            changed.push((path.clone(), difference));
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let same = there.map_or(frame.contains(&path.as_slice()), |there| looks_same(&there, &stat));
                descent.enter(&name)?;
                levels.push(Level { names: sorted(descent.current())?, before, same });
                continue;
            }
        }
        path.truncate(length);
    }
    Ok(changed)
}

fn sorted(folder: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut names: Vec<CString> = dir::entries(folder)?.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// What is below at `path`, no link followed.
fn find(below: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<Stat>> {
    let relative = CString::new(path.strip_prefix(b"/").unwrap_or(path)).map_err(io::Error::other)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat2(below, &relative, flags, Mode::empty(), resolve) {
        Ok(found) => Ok(Some(rustix::fs::statat(found.as_fd(), c"", AtFlags::EMPTY_PATH)?)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn looks_same(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_changed_and_only_there_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let make = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for path in [
            "below/etc/hosts",
            "below/etc/motd",
            "below/usr/a",
            "upper/etc/hosts",
            "upper/usr/a",
            "upper/new/b",
            "upper/dev/pts",
        ] {
            make(path, path);
        }
        let open = |name: &str| rustix::fs::open(folder.path().join(name), DIR_FLAGS, Mode::empty()).unwrap();
        let (upper, below) = (open("upper"), open("below"));
        let found = changes(upper.as_fd(), below.as_fd(), &[b"/etc/hosts", b"/dev/pts"], &[b"/dev"]).unwrap();
        let shown: Vec<(String, Difference)> =
            found.into_iter().map(|(path, kind)| (String::from_utf8(path).unwrap(), kind)).collect();
        let expected = [
            ("/new", Difference::Added),
            ("/new/b", Difference::Added),
            ("/usr", Difference::Modified),
            ("/usr/a", Difference::Modified),
        ];
        assert_eq!(shown, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }
}
