//! Putting the entries of a tar stream into a folder: by descriptor, inside one root, never trusting a name.

use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use wharf_types::{Error, Result};

use super::attributes::{set_owner_and_mode, timestamps};
use super::entry::{Entry, EntryKind};
use super::place::{Parent, Place, entry_error, open_in_root};
use super::reader::Reader;
use super::whiteout::{self, Whiteout};
use crate::dir::DIR_FLAGS;
use crate::{dir, removal};

/// How entries are put into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Into the new folder of a layer: whiteouts become overlay's, the entry `.` sets the root's attributes.
    Layer {
        /// The bits that the process's umask takes away.
        umask: u32,
    },
    /// Into an existing tree.
    Merge {
        /// A folder gives way to a file, and a file to a folder; otherwise that is an error.
        replace: bool,
    },
}

/// What was put into place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Sum of the sizes of regular files in bytes.
    pub size: u64,
    /// The layer hides everything below it.
    pub opaque_root: bool,
}

/// Whose something becomes, by whose it was: user and group.
type Owners<'a> = &'a dyn Fn((u32, u32)) -> (u32, u32);

pub(crate) struct Extractor<'a> {
    root: BorrowedFd<'a>,
    style: Style,
    /// The folder of the last entry: neighbours in an archive mostly share it.
    parent: Option<Parent>,
    /// Making entries changes their folder's time, so these are set at the very end.
    pub(super) folder_times: Vec<(CString, (i64, u32))>,
    /// Mode bits that a new file may not get by asking.
    pub(super) umask: u32,
    /// Whose the entries become, by whose they are in the archive.
    owners: Option<Owners<'a>>,
    outcome: Outcome,
}

impl<'a> Extractor<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, style: Style) -> Self {
        let umask = if let Style::Layer { umask } = style { umask } else { 0o7777 };
        Self { root, style, parent: None, folder_times: Vec::new(), umask, owners: None, outcome: Outcome::default() }
    }

    /// With other owners than those in the archive.
    pub(crate) fn with_owners(mut self, owners: Owners<'a>) -> Self {
        self.owners = Some(owners);
        self
    }

    /// Takes all entries of the stream.
    pub(crate) fn run<R: Read>(mut self, reader: &mut Reader<R>) -> Result<Outcome> {
        while let Some(mut entry) = reader.next_entry()? {
            if let Some(owners) = self.owners {
                (entry.uid, entry.gid) = owners((entry.uid, entry.gid));
            }
            self.put(&entry, reader)?;
        }
        self.set_folder_times()?;
        Ok(self.outcome)
    }

    fn put<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        let place = Place::of(&entry.path)?;
        let fail = |what: &'static str| move |error| entry_error(&entry.path, what, error);
        let Some(name) = &place.name else { return self.put_root(entry).map_err(fail("set the root's attributes")) };
        let mut parent = self.take_parent(&place.folder).map_err(fail("enter its folder"))?;
        if matches!(self.style, Style::Layer { .. })
            && let Some(whiteout) = Whiteout::of(name)
        {
            self.put_whiteout(&whiteout?, &parent).map_err(fail("write the whiteout"))?;
        } else {
            let keeps = self.put_named(entry, &place, name, &parent, reader)?;
            if !keeps {
                // A folder or link went away: what was found through it may be another one now.
                parent.path = CString::default();
            }
        }
        self.parent = Some(parent).filter(|parent| !parent.path.is_empty());
        Ok(())
    }

    /// The root of a layer takes the attributes of the entry for it.
    fn put_root(&mut self, entry: &Entry) -> rustix::io::Result<()> {
        if entry.kind != EntryKind::Directory {
            return Err(Errno::ISDIR);
        }
        if matches!(self.style, Style::Merge { .. }) {
            return Ok(());
        }
        let fd = rustix::fs::openat(self.root, c".", DIR_FLAGS, Mode::empty())?;
        set_owner_and_mode(fd.as_fd(), entry)?;
        self.set_xattrs(fd.as_fd(), entry)?;
        self.folder_times.push((c".".to_owned(), entry.mtime));
        Ok(())
    }

    /// The folder for an entry, made where the archive has not made it.
    fn take_parent(&mut self, path: &CString) -> rustix::io::Result<Parent> {
        if let Some(parent) = self.parent.take()
            && parent.path == *path
        {
            return Ok(parent);
        }
        match Parent::open(self.root, path) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make_folders(path)?;
                Parent::open(self.root, path)
            }
            other => other,
        }
    }

    fn make_folders(&mut self, path: &CString) -> rustix::io::Result<()> {
        let bytes = path.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
        let mut parent = Parent::open(self.root, &c".".to_owned())?;
        let mut start = 0;
        for end in ends.chain([bytes.len()]) {
            let here = CString::new(&bytes[..end]).map_err(|_| Errno::INVAL)?;
            let name = CString::new(&bytes[start..end]).map_err(|_| Errno::INVAL)?;
            parent = match Parent::open(self.root, &here) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.make_folder(&parent, &name)?;
                    Parent::open(self.root, &here)?
                }
                other => other?,
            };
            start = end + 1;
        }
        Ok(())
    }

    /// Makes a folder in the place of nothing or of a whiteout, which it then continues by being opaque.
    fn make_folder(&self, parent: &Parent, name: &CStr) -> rustix::io::Result<()> {
        let was_whiteout = whiteout::is_at(parent.as_fd(), name)?;
        if was_whiteout && matches!(self.style, Style::Layer { .. }) {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        }
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        if self.umask & 0o755 != 0 || !parent.is_plain {
            let fd = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
            let (uid, gid) = self.owners.map_or((0, 0), |owners| owners((0, 0)));
            rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
        }
        if was_whiteout { whiteout::make_opaque(parent.as_fd(), name) } else { Ok(()) }
    }

    fn put_whiteout(&mut self, whiteout: &Whiteout, parent: &Parent) -> rustix::io::Result<()> {
        match whiteout {
            Whiteout::Opaque if parent.path.as_bytes() == b"." => {
                self.outcome.opaque_root = true;
                Ok(())
            }
            Whiteout::Opaque => whiteout::make_opaque(parent.as_fd(), c"."),
            Whiteout::Of(name) => whiteout::hide(parent.as_fd(), name),
            Whiteout::Bookkeeping => Ok(()),
        }
    }

    /// Puts one entry into its folder; `false` when a folder or link had to go for it.
    fn put_named<R: Read>(
        &mut self,
        entry: &Entry,
        place: &Place,
        name: &CStr,
        parent: &Parent,
        reader: &mut Reader<R>,
    ) -> Result<bool> {
        let fail = |what: &'static str| move |error| entry_error(&entry.path, what, error);
        let target = self.link_target(entry)?;
        if target.as_ref().is_some_and(|target| target == place) {
            return Ok(true);
        }
        let mut keeps = true;
        let made = match self.make(entry, name, parent, target.as_ref()) {
            Err(Errno::EXIST) => match self.make_way(entry, name, parent)? {
                Way::Folder => Ok(Made::Folder),
                Way::Clear { was_file } => {
                    keeps = was_file;
                    self.make(entry, name, parent, target.as_ref())
                }
            },
            other => other,
        };
        match made.map_err(fail(what_is_made(entry.kind)))? {
            Made::File(fd) => {
                self.write(entry, fd.as_fd(), reader)?;
                self.finish_file(entry, fd.as_fd(), parent)
            }
            Made::Folder => self.finish_folder(entry, place, name, parent),
            Made::Other => self.finish_other(entry, name, parent),
            Made::Link => Ok(()),
        }
        .map_err(fail("set its attributes"))?;
        Ok(keeps)
    }

    fn link_target(&self, entry: &Entry) -> Result<Option<Place>> {
        if entry.kind != EntryKind::HardLink {
            return Ok(None);
        }
        Place::of(&entry.link).map(Some)
    }

    fn make(&self, entry: &Entry, name: &CStr, parent: &Parent, target: Option<&Place>) -> rustix::io::Result<Made> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        match entry.kind {
            EntryKind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return rustix::fs::openat(parent, name, flags, mode).map(Made::File);
            }
            EntryKind::Directory => {
                rustix::fs::mkdirat(parent, name, mode)?;
                return Ok(Made::Folder);
            }
            EntryKind::HardLink => {
                let target = target.ok_or(Errno::INVAL)?;
                let folder = open_in_root(self.root, &target.folder, OFlags::PATH | OFlags::DIRECTORY)?;
                let target = target.name.as_ref().ok_or(Errno::ISDIR)?;
                rustix::fs::linkat(folder, target, parent, name, AtFlags::empty())?;
                return Ok(Made::Link);
            }
            EntryKind::Symlink => {
                let target = CString::new(&entry.link[..]).map_err(|_| Errno::INVAL)?;
                rustix::fs::symlinkat(target, parent, name)?;
            }
            EntryKind::CharDevice => rustix::fs::mknodat(parent, name, FileType::CharacterDevice, mode, device)?,
            EntryKind::BlockDevice => rustix::fs::mknodat(parent, name, FileType::BlockDevice, mode, device)?,
            EntryKind::Fifo => rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0)?,
        }
        Ok(Made::Other)
    }

    /// Clears what stands in an entry's place. A folder for a folder stays.
    fn make_way(&mut self, entry: &Entry, name: &CStr, parent: &Parent) -> Result<Way> {
        let fail = |what: &'static str| move |error| entry_error(&entry.path, what, error);
        let old = dir::lstat(parent.as_fd(), name).map_err(fail("examine what is there"))?;
        let old_kind = FileType::from_raw_mode(old.st_mode);
        let (was_folder, is_folder) = (old_kind == FileType::Directory, entry.kind == EntryKind::Directory);
        if self.style == (Style::Merge { replace: false }) && was_folder != is_folder {
            return Err(overwrite_error(entry, is_folder));
        }
        if was_folder && is_folder {
            return Ok(Way::Folder);
        }
        if is_folder && whiteout::is(&old) {
            self.make_folder(parent, name).map_err(fail("create the folder"))?;
            return Ok(Way::Folder);
        }
        removal::remove_tree(parent.as_fd(), name).map_err(fail("replace what is there"))?;
        Ok(Way::Clear { was_file: old_kind == FileType::RegularFile })
    }

    fn write<R: Read>(&mut self, entry: &Entry, file: BorrowedFd<'_>, reader: &mut Reader<R>) -> Result<()> {
        let fail = |error| entry_error(&entry.path, "write the file", error);
        self.outcome.size = self.outcome.size.saturating_add(entry.size);
        let Some(pieces) = &entry.sparse else {
            while let Some(bytes) = reader.data()? {
                write_all(file, bytes, None).map_err(fail)?;
            }
            return Ok(());
        };
        let mut pieces = pieces.iter().copied().filter(|(_, len)| *len > 0);
        let mut piece = (0, 0);
        while let Some(mut bytes) = reader.data()? {
            while !bytes.is_empty() {
                if piece.1 == 0 {
                    piece = pieces.next().ok_or_else(|| fail(Errno::INVAL))?;
                }
                let len = usize::try_from(piece.1).map_or(bytes.len(), |len| len.min(bytes.len()));
                write_all(file, &bytes[..len], Some(piece.0)).map_err(fail)?;
                piece = (piece.0 + len as u64, piece.1 - len as u64);
                bytes = &bytes[len..];
            }
        }
        rustix::fs::ftruncate(file, entry.size).map_err(fail)
    }

    fn set_folder_times(&self) -> Result<()> {
        for (path, mtime) in &self.folder_times {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let result = match open_in_root(self.root, path, flags) {
                Ok(fd) => rustix::fs::futimens(fd, &timestamps(*mtime)),
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(error) => Err(error),
            };
            result.map_err(|error| entry_error(path.as_bytes(), "set its time", error))?;
        }
        Ok(())
    }
}

/// What there is now in the place of an entry that was taken.
enum Way {
    /// Nothing any more.
    Clear { was_file: bool },
    /// A folder, for a folder.
    Folder,
}

/// What came into being.
enum Made {
    File(OwnedFd),
    Folder,
    Link,
    Other,
}

fn what_is_made(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "create the file",
        EntryKind::HardLink => "create the hard link",
        EntryKind::Symlink => "create the symbolic link",
        EntryKind::CharDevice | EntryKind::BlockDevice => "create the device",
        EntryKind::Directory => "create the folder",
        EntryKind::Fifo => "create the named pipe",
    }
}

fn overwrite_error(entry: &Entry, is_folder: bool) -> Error {
    let (old, new) = if is_folder { ("non-directory", "directory") } else { ("directory", "non-directory") };
    Error::invalid(format!("cannot overwrite {old} \"/{}\" with {new}", entry.name().trim_matches('/')))
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], at: Option<u64>) -> rustix::io::Result<()> {
    let mut at = at;
    while !bytes.is_empty() {
        let written = match at {
            Some(offset) => rustix::io::pwrite(file, bytes, offset),
            None => rustix::io::write(file, bytes),
        };
        match written {
            Ok(len) => {
                bytes = &bytes[len..];
                at = at.map(|offset| offset + len as u64);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
