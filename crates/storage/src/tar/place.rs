//! Where the entries of an archive go: names are taken apart here, and folders found inside one root only.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use wharf_types::{Error, Kind, Result};

use super::entry::printable;

/// The longest path in bytes that the kernel takes, without the final NUL (`PATH_MAX`).
const MAX_PATH: usize = 4095;

/// The place of an entry: a folder relative to the root (`.` for the root itself) and a name in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub folder: CString,
    /// `None` for the root itself.
    pub name: Option<CString>,
}

impl Place {
    /// Reads an archive's name as if the root were `/`: `.` and empty parts vanish, `..` takes one part away.
    ///
    /// # Errors
    /// `InvalidParameter` when `..` leads out of the root, or the name is too long.
    pub(crate) fn of(path: &[u8]) -> Result<Self> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in path.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." if parts.pop().is_none() => return Err(refused(path, "leads out of the archive's root")),
                b".." => {}
                part => parts.push(part),
            }
        }
        let name = parts.pop();
        let folder = if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') };
        if folder.len() + name.map_or(0, <[u8]>::len) >= MAX_PATH {
            return Err(refused(path, "is too long"));
        }
        let c_string = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| refused(path, "holds a NUL"));
        Ok(Self { folder: c_string(folder)?, name: name.map(|name| c_string(name.to_vec())).transpose()? })
    }

    /// The whole path relative to the root.
    pub(crate) fn path(&self) -> CString {
        let Some(name) = &self.name else { return self.folder.clone() };
        let bytes = match self.folder.as_bytes() {
            b"." => name.as_bytes().to_vec(),
            folder => [folder, name.as_bytes()].join(&b'/'),
        };
        CString::new(bytes).expect("parts of C strings hold no NUL")
    }
}

fn refused(path: &[u8], why: &str) -> Error {
    Error::invalid(format!("{}: the archive has a name that {why}", printable(path)))
}

/// An error about one entry: what the archive asks for and the file system cannot have is the archive's fault.
pub(crate) fn entry_error(path: &[u8], what: &str, error: Errno) -> Error {
    let kind = match error {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::ISDIR
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::INVAL
        | Errno::EXIST
        | Errno::FBIG
        | Errno::RANGE
        | Errno::XDEV => Kind::InvalidParameter,
        _ => Error::from(std::io::Error::from(error)).kind(),
    };
    Error::new(kind, format!("{}: cannot {what}", printable(path))).caused_by(std::io::Error::from(error))
}

/// Opens what `path` means to someone whose root folder is `root`; links in it are followed inside the root only.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &CString, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        // The kernel asks to try again when something was renamed while it walked (openat2(2)).
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// A folder that entries are being put into.
pub(crate) struct Parent {
    pub path: CString,
    pub fd: OwnedFd,
    /// Whether what is made in it belongs to root and gets the mode that was asked for.
    pub is_plain: bool,
}

impl Parent {
    pub(crate) fn open(root: BorrowedFd<'_>, path: &CString) -> rustix::io::Result<Self> {
        let fd = open_in_root(root, path, OFlags::PATH | OFlags::DIRECTORY)?;
        let stat = rustix::fs::fstat(&fd)?;
        let is_plain = stat.st_gid == 0 && !Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID);
        Ok(Self { path: path.clone(), fd, is_plain })
    }
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Option<(String, Option<String>)> {
        let place = Place::of(path.as_bytes()).ok()?;
        let text = |c: CString| c.into_string().unwrap();
        Some((text(place.folder), place.name.map(text)))
    }

    #[test]
    fn names_are_taken_apart_as_below_a_root() {
        let at = |folder: &str, name: &str| Some((folder.to_owned(), Some(name.to_owned())));
        assert_eq!(place("a"), at(".", "a"));
        assert_eq!(place("/a//b/./c/"), at("a/b", "c"));
        assert_eq!(place("a/b/../c"), at("a", "c"));
        assert_eq!(place("a/.."), Some((".".into(), None)));
        assert_eq!(place("./"), Some((".".into(), None)));
        assert_eq!(place(""), Some((".".into(), None)));
        for bad in ["..", "/../a", "a/../../b", &"x/".repeat(2100)] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
