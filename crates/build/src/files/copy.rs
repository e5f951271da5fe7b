//! Putting files into a tree.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use wharf_sys::path::open_in_root;
use wharf_types::{Result, ResultExt};

use super::owner::{Owner, change_mode};
use super::select::{Excludes, Selected};
use super::{MADE, Tree, archive, chown, join, kind, lstat, names, open_file, open_folder, times};

/// Where files are put, and as what.
pub struct Target<'a> {
    /// The root of the tree that changes.
    pub root: BorrowedFd<'a>,
    /// The destination inside, absolute; a final slash says that it is a folder.
    pub destination: &'a str,
    /// Who owns everything; `None` keeps the owners of the source.
    pub owner: Option<Owner>,
    /// `--chmod`.
    pub chmod: Option<&'a str>,
    /// No time is later than this; and what is made here has this time.
    pub epoch: Option<i64>,
    /// Keep the folders of the sources.
    pub parents: bool,
    /// Patterns of what stays behind.
    pub excludes: &'a [String],
    /// Archives are unpacked.
    pub unpack: bool,
}

/// One thing to put.
pub enum Placed<'a> {
    /// A path of a tree.
    Path(&'a Tree, &'a Selected),
    /// A file's name and content.
    Text(&'a str, &'a str),
}

/// Puts everything into place; `several` of them need a folder.
///
/// # Errors
/// Those of the file systems; `InvalidParameter` where a folder and a file are in each other's way.
pub fn place(target: &Target<'_>, things: &[Placed<'_>], several: bool) -> Result<()> {
    let excludes = Excludes::new(target.excludes)?;
    let copier = Copier { target, excludes, touched: Default::default() };
    let wants_folder = several || target.destination.ends_with('/');
    for thing in things {
        let done = match thing {
            Placed::Text(name, text) => copier.text(name, text, wants_folder),
            Placed::Path(tree, item) => copier.path(tree, item, wants_folder),
        };
        let name = match thing {
            Placed::Text(name, _) => *name,
            Placed::Path(_, item) => item.path.as_str(),
        };
        done.with_context(|| format!("cannot copy {name:?} to {}", target.destination))?;
    }
    copier.finish()
}

/// Makes a folder with everything above it; what is there stays as it is.
///
/// # Errors
/// Those of the file system.
pub fn make_folder(root: BorrowedFd<'_>, path: &str, owner: Owner, epoch: Option<i64>) -> Result<()> {
    let target = Target {
        root,
        destination: path,
        owner: Some(owner),
        chmod: None,
        epoch,
        parents: false,
        excludes: &[],
        unpack: false,
    };
    let copier = Copier { target: &target, excludes: Excludes::new(&[])?, touched: Default::default() };
    copier.folder(path).with_context(|| format!("cannot make the folder {path}"))?;
    copier.finish()
}

struct Copier<'a> {
    target: &'a Target<'a>,
    excludes: Excludes,
    /// Folders whose time is put back at the end: what was copied must not show when.
    touched: std::cell::RefCell<Vec<(String, i64, i64)>>,
}

impl Copier<'_> {
    fn owner(&self) -> Owner {
        self.target.owner.unwrap_or_default()
    }

    fn made(&self) -> i64 {
        self.target.epoch.unwrap_or(MADE)
    }

    /// A folder of the target, made if need be, and its time remembered.
    fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        match open_in_root(self.target.root, path, flags, Mode::empty()) {
            Ok(fd) => {
                self.remember(path, &fd)?;
                Ok(fd)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                let parent = self.folder(above)?;
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                let name = CString::new(name)?;
                let fd = open_folder(parent.as_fd(), &name)?;
                chown(fd.as_fd(), self.owner())?;
                rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
                self.touched.borrow_mut().push((path.to_owned(), self.made(), 0));
                Ok(fd)
            }
            Err(error) => Err(error),
        }
    }

    fn remember(&self, path: &str, fd: &OwnedFd) -> io::Result<()> {
        let mut touched = self.touched.borrow_mut();
        if !touched.iter().any(|(known, ..)| known == path) {
            let stat = rustix::fs::fstat(fd)?;
            touched.push((path.to_owned(), stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)));
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        // The deepest first: setting a time below changes none above.
        for (path, seconds, nanos) in self.touched.borrow().iter() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let Ok(fd) = open_in_root(self.target.root, path, flags, Mode::empty()) else { continue };
            let set = rustix::fs::futimens(&fd, &times(*seconds, *nanos)).map_err(io::Error::from);
            set.with_context(|| format!("cannot set the time of {path}"))?;
        }
        Ok(())
    }

    fn text(&self, name: &str, text: &str, wants_folder: bool) -> Result<()> {
        let (parent, name) = self.file_place(name, wants_folder)?;
        let mode = self.mode(0o644, false)?;
        let write = || -> io::Result<()> {
            let mut file = self.new_file(parent.as_fd(), &name)?;
            file.write_all(text.as_bytes())?;
            chown(file.as_fd(), self.owner())?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            Ok(rustix::fs::futimens(&file, &times(self.made(), 0))?)
        };
        write().context("cannot write the file")
    }

    fn path(&self, tree: &Tree, item: &Selected, wants_folder: bool) -> Result<()> {
        let destination = self.target.destination.trim_end_matches('/');
        if item.is_folder {
            let folder =
                if self.target.parents { format!("{destination}/{}", item.kept) } else { destination.to_owned() };
            let into = self.folder(&folder).context("cannot make the destination")?;
            let from = tree.open(&item.path, OFlags::RDONLY | OFlags::DIRECTORY).context("cannot open the source")?;
            return self.contents(tree, from.as_fd(), into.as_fd(), &item.path, "");
        }
        let file = tree.open(&item.path, OFlags::RDONLY | OFlags::NONBLOCK).context("cannot open the source")?;
        if self.target.unpack && archive::is_archive(&file)? {
            let into = self.folder(destination).context("cannot make the destination")?;
            return archive::unpack(file, into.as_fd(), self.target.owner);
        }
        let stat = rustix::fs::fstat(&file).map_err(io::Error::from).context("cannot examine the source")?;
        let (parent, name) = match (self.target.parents, item.kept.rsplit_once('/')) {
            (true, Some((folders, name))) => {
                let folder = self.folder(&format!("{destination}/{folders}")).context("cannot make the destination")?;
                (folder, CString::new(name).map_err(io::Error::from)?)
            }
            _ => self.file_place(item.name(), wants_folder)?,
        };
        self.regular(file, &stat, parent.as_fd(), &name, tree.of_root)
    }

    /// Where a single file goes: into the destination if that is a folder, else it becomes the destination.
    fn file_place(&self, name: &str, wants_folder: bool) -> Result<(OwnedFd, CString)> {
        let destination = self.target.destination.trim_end_matches('/');
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let inside = if destination.is_empty() { "/" } else { destination };
        let is_folder = wants_folder || open_in_root(self.target.root, inside, flags, Mode::empty()).is_ok();
        let (folder, name) = match is_folder {
            true => (destination, name),
            false => destination.rsplit_once('/').unwrap_or(("", destination)),
        };
        let folder = self.folder(folder).context("cannot make the destination")?;
        Ok((folder, CString::new(name).map_err(io::Error::from)?))
    }

    /// All that is in a folder.
    fn contents(&self, tree: &Tree, from: BorrowedFd<'_>, into: BorrowedFd<'_>, path: &str, inner: &str) -> Result<()> {
        for name in names(from).with_context(|| format!("cannot read {path:?}"))? {
            let text = name.to_string_lossy();
            let (path, inner) = (join(path, &text), join(inner, &text));
            if tree.skips(&path) || self.excludes.covers(&inner) {
                continue;
            }
            self.entry(tree, from, into, &name, &path, &inner)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        tree: &Tree,
        from: BorrowedFd<'_>,
        into: BorrowedFd<'_>,
        name: &CStr,
        path: &str,
        inner: &str,
    ) -> Result<()> {
        let fail = || format!("cannot copy {path:?}");
        let stat = lstat(from, name).with_context(fail)?;
        match kind(&stat) {
            FileType::Directory => {
                let from = open_folder(from, name).with_context(fail)?;
                let into = self.subfolder(into, name).with_context(fail)?;
                self.contents(tree, from.as_fd(), into.as_fd(), path, inner)?;
                self.attributes(into.as_fd(), from.as_fd(), &stat, true, tree.of_root)
            }
            FileType::RegularFile => {
                let file = open_file(from, name).with_context(fail)?;
                self.regular(file, &stat, into, name, tree.of_root)
            }
            FileType::Symlink => {
                let link =
                    rustix::fs::readlinkat(from, name, Vec::new()).map_err(io::Error::from).with_context(fail)?;
                self.clear(into, name).with_context(fail)?;
                rustix::fs::symlinkat(&link, into, name).map_err(io::Error::from).with_context(fail)?;
                self.loose_attributes(into, name, &stat, tree.of_root).with_context(fail)
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                self.clear(into, name).with_context(fail)?;
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                let made = rustix::fs::mknodat(into, name, kind(&stat), mode, stat.st_rdev);
                made.map_err(io::Error::from).with_context(fail)?;
                self.loose_attributes(into, name, &stat, tree.of_root).with_context(fail)
            }
            // A socket means nothing without its process.
            _ => Ok(()),
        }
    }

    fn subfolder(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        open_folder(parent, name).map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::NOTDIR.raw_os_error() || code == Errno::LOOP.raw_os_error() => {
                io::Error::other("a file stands in the place of a folder")
            }
            _ => error,
        })
    }

    fn regular(&self, from: OwnedFd, stat: &Stat, parent: BorrowedFd<'_>, name: &CStr, of_root: bool) -> Result<()> {
        let mut to = self.new_file(parent, name).context("cannot create the file")?;
        let mut from = File::from(from);
        if stat.st_size > 0 {
            io::copy(&mut from, &mut to).context("cannot copy the content")?;
        }
        self.attributes(to.as_fd(), from.as_fd(), stat, false, of_root)
    }

    /// Makes a file in the place of whatever is there.
    fn new_file(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let made = match rustix::fs::openat(parent, name, flags, mode) {
            Err(Errno::EXIST) => {
                self.clear(parent, name)?;
                rustix::fs::openat(parent, name, flags, mode)?
            }
            other => other?,
        };
        Ok(File::from(made))
    }

    fn clear(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(io::Error::other("a folder stands in the place of a file")),
            Err(error) => Err(error.into()),
        }
    }

    fn mode(&self, mode: u32, is_folder: bool) -> Result<u32> {
        self.target.chmod.map_or(Ok(mode & 0o7777), |text| change_mode(text, mode, is_folder))
    }

    fn owner_of(&self, stat: &Stat, of_root: bool) -> Owner {
        match self.target.owner {
            Some(owner) => owner,
            None if of_root => Owner::default(),
            None => Owner { uid: stat.st_uid, gid: stat.st_gid },
        }
    }

    fn time_of(&self, stat: &Stat) -> (i64, i64) {
        match self.target.epoch {
            Some(epoch) if stat.st_mtime >= epoch => (epoch, 0),
            _ => (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        }
    }

    fn attributes(
        &self,
        to: BorrowedFd<'_>,
        from: BorrowedFd<'_>,
        stat: &Stat,
        is_folder: bool,
        of_root: bool,
    ) -> Result<()> {
        let mode = self.mode(stat.st_mode, is_folder)?;
        let (seconds, nanos) = self.time_of(stat);
        let set = || -> io::Result<()> {
            let owner = self.owner_of(stat, of_root);
            if owner != Owner::default() {
                chown(to, owner)?;
            }
            rustix::fs::fchmod(to, Mode::from_raw_mode(mode))?;
            if !of_root {
                copy_xattrs(from, to)?;
            }
            Ok(rustix::fs::futimens(to, &times(seconds, nanos))?)
        };
        set().context("cannot set the attributes")
    }

    /// Of what cannot be opened.
    fn loose_attributes(&self, parent: BorrowedFd<'_>, name: &CStr, stat: &Stat, of_root: bool) -> io::Result<()> {
        let owner = self.owner_of(stat, of_root);
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let (seconds, nanos) = self.time_of(stat);
        Ok(rustix::fs::utimensat(parent, name, &times(seconds, nanos), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Capabilities and the person's own attributes; what stacks layers or labels the host stays.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; 4096];
    let len = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::NOTSUP | Errno::RANGE) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let travels =
            name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        let mut value = vec![0; 65536];
        if travels && let Ok(len) = rustix::fs::fgetxattr(from, name, &mut value[..]) {
            rustix::fs::fsetxattr(to, name, &value[..len], rustix::fs::XattrFlags::empty())?;
        }
    }
    Ok(())
}
