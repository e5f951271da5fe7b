//! Whiteouts: OCI's names in a layer tar (image-spec, "Whiteouts") and overlay's files on disk (the kernel's
//! Documentation/filesystems/overlayfs.rst), and the way from one to the other.

use std::ffi::{CStr, CString};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;
use wharf_types::{Error, Result};

use super::entry::printable;
use crate::dir::{self, DIR_FLAGS};

/// A name that begins so hides the rest of the name in the layers below.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// A folder that has this hides all of the folder of its name in the layers below.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// How overlay marks an opaque folder.
pub(crate) const OPAQUE_XATTR: &CStr = c"trusted.overlay.opaque";

/// What a name beginning with `.wh.` means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whiteout {
    /// The folder is opaque.
    Opaque,
    /// This name is hidden.
    Of(CString),
    /// Notes of AUFS to itself, in layers of long ago.
    Bookkeeping,
}

impl Whiteout {
    /// `None` for an ordinary name, an error for a whiteout of what cannot be a name.
    pub(crate) fn of(name: &CStr) -> Option<Result<Self>> {
        let hidden = name.to_bytes().strip_prefix(PREFIX)?;
        Some(match hidden {
            _ if name.to_bytes() == OPAQUE => Ok(Self::Opaque),
            _ if hidden.starts_with(PREFIX) => Ok(Self::Bookkeeping),
            b"" | b"." | b".." => {
                Err(Error::invalid(format!("{}: the archive has a whiteout of nothing", printable(name.to_bytes()))))
            }
            _ => Ok(Self::Of(CString::from(&name[PREFIX.len()..]))),
        })
    }
}

/// Whether this is overlay's whiteout: a character device 0:0.
pub(crate) fn is(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether `name` is a whiteout; a missing one is not.
pub(crate) fn is_at(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<bool> {
    match dir::lstat(parent, name) {
        Ok(stat) => Ok(is(&stat)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Hides `name` of the layers below. What this layer itself has under the name stays: a file hides the lower one
/// anyway, a folder becomes opaque.
pub(crate) fn hide(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Err(Errno::EXIST) => {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder { make_opaque(parent, name) } else { Ok(()) }
        }
        other => other,
    }
}

/// Hides all that folder `name` has in the layers below.
pub(crate) fn make_opaque(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    let folder = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
    rustix::fs::fsetxattr(folder, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert!(Whiteout::of(c"wh.a").is_none());
        assert_eq!(Whiteout::of(c".wh.a").unwrap().unwrap(), Whiteout::Of(c"a".to_owned()));
        assert_eq!(Whiteout::of(c".wh..wh..opq").unwrap().unwrap(), Whiteout::Opaque);
        assert_eq!(Whiteout::of(c".wh..wh.plnk").unwrap().unwrap(), Whiteout::Bookkeeping);
        for bad in [c".wh.", c".wh..", c".wh..."] {
            assert!(Whiteout::of(bad).unwrap().is_err());
        }
    }
}
