//! Folders by descriptor: opening, listing, and going down a tree however deep.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use wharf_types::{Result, ResultExt};

/// How a folder is opened when only its descriptor counts.
pub(crate) const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder that wharf itself names (a store's root), making it and its parents where they are missing.
pub(crate) fn open_or_create(path: &Path) -> Result<OwnedFd> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Opens the folder `name` in `parent`, making it with `mode` where it is missing.
pub(crate) fn subdir(parent: BorrowedFd<'_>, name: &str, mode: u32) -> Result<OwnedFd> {
    let open = || rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty());
    let fd = open().or_else(|error| match error {
        Errno::NOENT => {
            ignore(rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)), Errno::EXIST)?;
            open()
        }
        other => Err(other),
    });
    fd.map_err(std::io::Error::from).with_context(|| format!("cannot open the folder {name}"))
}

/// Treats one error number as success.
pub(crate) fn ignore(result: rustix::io::Result<()>, expected: Errno) -> rustix::io::Result<()> {
    match result {
        Err(error) if error == expected => Ok(()),
        other => other,
    }
}

/// The names in a folder without `.` and `..`, unsorted, with the kind where the file system tells it.
pub(crate) fn entries(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// The attributes of `name` itself, never of what it links to.
pub(crate) fn lstat(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Makes the names of a folder durable.
pub(crate) fn sync_names(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::fsync(fd).map_err(std::io::Error::from).context("cannot sync a folder")
}

/// How many levels keep their descriptor open: deeper trees are climbed back with `..`, checked against the inode.
const OPEN_LEVELS: usize = 64;

/// A way down a tree: the folders from a root to where one is, by descriptor, however deep.
pub(crate) struct Descent {
    levels: Vec<Level>,
}

struct Level {
    fd: Option<OwnedFd>,
    inode: (u64, u64),
}

impl Descent {
    /// Starts in a folder.
    pub(crate) fn new(root: OwnedFd) -> rustix::io::Result<Self> {
        let mut descent = Self { levels: Vec::new() };
        descent.push(root)?;
        Ok(descent)
    }

    /// The folder where one is.
    pub(crate) fn current(&self) -> BorrowedFd<'_> {
        let fd = self.levels.last().and_then(|level| level.fd.as_ref());
        fd.expect("the deepest level keeps its descriptor").as_fd()
    }

    /// Goes into folder `name`, which must not be a symbolic link.
    pub(crate) fn enter(&mut self, name: &CStr) -> rustix::io::Result<()> {
        let fd = rustix::fs::openat(self.current(), name, DIR_FLAGS, Mode::empty())?;
        self.push(fd)
    }

    /// Goes back to the folder above; `STALE` when the tree was moved meanwhile.
    pub(crate) fn leave(&mut self) -> rustix::io::Result<()> {
        let Some(child) = self.levels.pop() else { return Ok(()) };
        let Some(parent) = self.levels.last_mut() else { return Ok(()) };
        if parent.fd.is_none() {
            let child = child.fd.ok_or(Errno::STALE)?;
            let fd = rustix::fs::openat(child, c"..", DIR_FLAGS, Mode::empty())?;
            if inode(&rustix::fs::fstat(&fd)?) != parent.inode {
                return Err(Errno::STALE);
            }
            parent.fd = Some(fd);
        }
        Ok(())
    }

    fn push(&mut self, fd: OwnedFd) -> rustix::io::Result<()> {
        let inode = inode(&rustix::fs::fstat(&fd)?);
        self.levels.push(Level { fd: Some(fd), inode });
        if let Some(above) = self.levels.len().checked_sub(OPEN_LEVELS + 1) {
            self.levels[above].fd = None;
        }
        Ok(())
    }
}

/// Device and inode number.
pub(crate) fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Whether this is a folder.
pub(crate) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
