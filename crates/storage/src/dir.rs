//! Work on directory trees by descriptor only: opening, descending however deep, deleting, measuring.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use wharf_types::{Result, ResultExt};

/// How a folder is opened when only its descriptor counts.
pub(crate) const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder that wharf itself names (a store's root), making it and its parents where they are missing.
pub(crate) fn open_or_create(path: &Path) -> Result<OwnedFd> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot open {}", path.display()))?)
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
    Ok(rustix::fs::fsync(fd).map_err(std::io::Error::from).context("cannot sync a folder")?)
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

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// How much a tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of the regular files in bytes; a file with several links counts once.
    pub bytes: u64,
    /// Space taken on disk in bytes, folders included.
    pub disk: u64,
    /// Number of inodes.
    pub inodes: u64,
}

impl Usage {
    /// Measures the tree below `root`. What disappears meanwhile is not counted.
    pub fn of(root: BorrowedFd<'_>) -> Result<Self> {
        let measured = measure(root).map_err(std::io::Error::from);
        Ok(measured.context("cannot measure a folder")?)
    }

    fn add(&mut self, stat: &Stat, seen: &mut HashSet<(u64, u64)>) {
        if stat.st_nlink > 1 && !is_dir(stat) && !seen.insert(inode(stat)) {
            return;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            self.bytes += stat.st_size.unsigned_abs();
        }
        self.disk += stat.st_blocks.unsigned_abs() * 512;
        self.inodes += 1;
    }
}

fn measure(root: BorrowedFd<'_>) -> rustix::io::Result<Usage> {
    let (mut usage, mut seen) = (Usage::default(), HashSet::new());
    usage.add(&rustix::fs::fstat(root)?, &mut seen);
    let mut descent = Descent::new(rustix::io::fcntl_dupfd_cloexec(root, 0)?)?;
    let mut pending = vec![measure_files(descent.current(), &mut usage, &mut seen)?];
    while let Some(level) = pending.last_mut() {
        let Some(name) = level.pop() else {
            pending.pop();
            descent.leave()?;
            continue;
        };
        match descent.enter(&name) {
            Ok(()) => pending.push(measure_files(descent.current(), &mut usage, &mut seen)?),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}

fn measure_files(
    dir: BorrowedFd<'_>,
    usage: &mut Usage,
    seen: &mut HashSet<(u64, u64)>,
) -> rustix::io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for (name, _) in entries(dir)? {
        match lstat(dir, &name) {
            Ok(stat) => {
                usage.add(&stat, seen);
                if is_dir(&stat) {
                    folders.push(name);
                }
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(folders)
}

/// A file or folder in a store's folder for unfinished work that is deleted unless it is published.
pub(crate) struct Temporary {
    parent: std::sync::Arc<OwnedFd>,
    name: CString,
}

impl Temporary {
    /// Makes a new file, open for reading and writing.
    pub(crate) fn file(parent: &std::sync::Arc<OwnedFd>) -> Result<(Self, File)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = |name: &CStr| rustix::fs::openat(&**parent, name, flags, Mode::from_raw_mode(0o644));
        let (this, fd) = Self::with(parent, make)?;
        Ok((this, File::from(fd)))
    }

    /// Makes a new folder that only its owner may enter.
    pub(crate) fn folder(parent: &std::sync::Arc<OwnedFd>) -> Result<(Self, OwnedFd)> {
        let (this, ()) = Self::with(parent, |name| rustix::fs::mkdirat(&**parent, name, Mode::RWXU))?;
        let fd = rustix::fs::openat(&**parent, &*this.name, DIR_FLAGS, Mode::empty());
        let fd = fd.map_err(std::io::Error::from).context("cannot open a temporary folder")?;
        Ok((this, fd))
    }

    fn with<T>(parent: &std::sync::Arc<OwnedFd>, make: impl Fn(&CStr) -> rustix::io::Result<T>) -> Result<(Self, T)> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let name = CString::new(format!("{}-{number}", std::process::id())).expect("digits hold no NUL");
            match make(&name) {
                Err(Errno::EXIST) => {}
                Ok(made) => return Ok((Self { parent: parent.clone(), name }, made)),
                Err(error) => return Err(std::io::Error::from(error)).context("cannot create temporary storage"),
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
        remove_tree(self.parent.as_fd(), &self.name).ok();
    }
}
