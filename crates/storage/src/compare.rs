//! Whether two trees hold the same, told by descriptor: kinds, owners, modes, times, attributes and contents.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use wharf_types::{Result, ResultExt};

use crate::dir::{Descent, entries, is_dir, lstat};
use crate::tar::{all_xattrs, is_whiteout, printable};

/// How much of two files is compared at once, in bytes.
const PIECE: usize = 128 * 1024;

/// The first thing below `found` that is not as below `expected`, in words; `None` when all is the same.
pub(crate) fn first_difference(expected: BorrowedFd<'_>, found: BorrowedFd<'_>) -> Result<Option<String>> {
    let walked = Walk::new(expected, found).map_err(std::io::Error::from).and_then(Walk::run);
    walked.context("cannot compare two folders")
}

struct Walk {
    expected: Descent,
    found: Descent,
    path: Vec<CString>,
}

impl Walk {
    fn new(expected: BorrowedFd<'_>, found: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let copy = |fd| Descent::new(rustix::io::fcntl_dupfd_cloexec(fd, 0)?);
        Ok(Self { expected: copy(expected)?, found: copy(found)?, path: Vec::new() })
    }

    fn run(mut self) -> std::io::Result<Option<String>> {
        if let Some(what) = attributes_differ(self.expected.current(), self.found.current())? {
            return Ok(Some(format!("/: its {what} differs")));
        }
        let mut pending = vec![match self.folder()? {
            Ok(folders) => folders,
            Err(difference) => return Ok(Some(difference)),
        }];
        while let Some(level) = pending.last_mut() {
            let Some(name) = level.pop() else {
                pending.pop();
                self.path.pop();
                self.expected.leave()?;
                self.found.leave()?;
                continue;
            };
            self.expected.enter(&name)?;
            self.found.enter(&name)?;
            self.path.push(name);
            match self.folder()? {
                Ok(folders) => pending.push(folders),
                Err(difference) => return Ok(Some(difference)),
            }
        }
        Ok(None)
    }

    /// Compares all that is in the present folder; gives the folders in it, or what differs.
    fn folder(&self) -> std::io::Result<Result<Vec<CString>, String>> {
        let (expected, found) = (self.expected.current(), self.found.current());
        let (names, others) = (sorted(expected)?, sorted(found)?);
        if let Some(missing) = names.iter().find(|name| others.binary_search(name).is_err()) {
            return Ok(Err(format!("{} is missing", self.name(missing))));
        }
        if let Some(extra) = others.iter().find(|name| names.binary_search(name).is_err()) {
            return Ok(Err(format!("{} does not belong there", self.name(extra))));
        }
        let mut folders = Vec::new();
        for name in names {
            let (one, two) = (lstat(expected, &name)?, lstat(found, &name)?);
            let differs = |what: &str| Ok(Err(format!("{}: its {what} differs", self.name(&name))));
            if let Some(what) = stats_differ(&one, &two) {
                return differs(what);
            }
            if is_dir(&one) {
                let open = |fd| rustix::fs::openat(fd, &name, crate::dir::DIR_FLAGS, Mode::empty());
                if let Some(what) = attributes_differ(open(expected)?.as_fd(), open(found)?.as_fd())? {
                    return differs(what);
                }
                folders.push(name);
            } else if let Some(what) = contents_differ(expected, found, &name, &one)? {
                return differs(what);
            }
        }
        Ok(Ok(folders))
    }

    fn name(&self, last: &CStr) -> String {
        let parts = self.path.iter().map(|part| part.to_bytes()).chain([last.to_bytes()]);
        printable(&parts.fold(Vec::new(), |path, part| [&path[..], b"/", part].concat()))
    }
}

fn stats_differ(one: &Stat, two: &Stat) -> Option<&'static str> {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    let is_sized = kind(one) == FileType::RegularFile || kind(one) == FileType::Symlink;
    [
        ("kind", kind(one) != kind(two)),
        ("mode", one.st_mode != two.st_mode),
        ("owner", (one.st_uid, one.st_gid) != (two.st_uid, two.st_gid)),
        ("size", is_sized && one.st_size != two.st_size),
        // A whiteout, and a folder that the archive does not name, have the time of their unpacking.
        ("time", !is_dir(one) && !is_whiteout(one) && one.st_mtime != two.st_mtime),
        ("device number", one.st_rdev != two.st_rdev),
        ("number of links", !is_dir(one) && one.st_nlink != two.st_nlink),
    ]
    .into_iter()
    .find_map(|(what, differs)| differs.then_some(what))
}

fn contents_differ(
    expected: BorrowedFd<'_>,
    found: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
) -> std::io::Result<Option<&'static str>> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = |fd| rustix::fs::readlinkat(fd, name, Vec::new());
            Ok((target(expected)? != target(found)?).then_some("target"))
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let open = |fd| rustix::fs::openat(fd, name, flags, Mode::empty());
            let (one, two) = (open(expected)?, open(found)?);
            if let Some(what) = attributes_differ(one.as_fd(), two.as_fd())? {
                return Ok(Some(what));
            }
            Ok(bytes_differ(File::from(one), File::from(two))?.then_some("content"))
        }
        _ => Ok(None),
    }
}

fn attributes_differ(one: BorrowedFd<'_>, two: BorrowedFd<'_>) -> std::io::Result<Option<&'static str>> {
    let of_content = |fd| {
        let all = all_xattrs(fd)?.into_iter();
        Ok::<_, std::io::Error>(all.filter(|(name, _)| !is_bookkeeping(name)).collect::<Vec<_>>())
    };
    if of_content(one)? != of_content(two)? {
        return Ok(Some("list of extended attributes"));
    }
    Ok(stats_differ(&rustix::fs::fstat(one)?, &rustix::fs::fstat(two)?))
}

/// Whether overlay keeps this attribute for itself on what was its upper folder, as that of a built layer was; as a lower
/// folder it is read without it.
fn is_bookkeeping(name: &[u8]) -> bool {
    let own = name.strip_prefix(b"trusted.overlay.").or_else(|| name.strip_prefix(b"user.overlay."));
    own.is_some_and(|own| [&b"impure"[..], b"nlink", b"origin", b"upper", b"uuid"].contains(&own))
}

fn bytes_differ(mut one: File, mut two: File) -> std::io::Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let len = one.read(&mut left)?;
        if len == 0 {
            return Ok(two.read(&mut right)? != 0);
        }
        match two.read_exact(&mut right[..len]) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(true),
            other => other?,
        }
        if left[..len] != right[..len] {
            return Ok(true);
        }
    }
}

fn sorted(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names: Vec<CString> = entries(fd)?.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::XattrFlags;

    use super::first_difference;

    #[test]
    fn what_overlay_keeps_for_itself_is_no_difference() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |dir: &tempfile::TempDir| std::fs::File::open(dir.path()).unwrap();
        let (expected, found) = (open(&one), open(&two));
        let set = |name: &str| rustix::fs::fsetxattr(&found, name, b"y", XattrFlags::empty());
        if set("trusted.overlay.impure").is_err() {
            println!("skipped: only root may set these attributes");
            return;
        }
        assert_eq!(first_difference(expected.as_fd(), found.as_fd()).unwrap(), None);
        set("trusted.overlay.opaque").unwrap();
        let difference = first_difference(expected.as_fd(), found.as_fd()).unwrap();
        assert_eq!(difference.as_deref(), Some("/: its list of extended attributes differs"));
    }
}
