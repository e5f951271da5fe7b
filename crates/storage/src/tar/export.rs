//! Writing a tree of files as a tar stream, in an order that depends on the names only.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use wharf_types::{Error, Kind, Result};

use super::entry::{Entry, EntryKind, printable};
use super::whiteout::{self, OPAQUE, PREFIX};
use super::writer::Writer;
use super::xattr_travels;
use crate::dir::{self, DIR_FLAGS, Descent};

/// What a tree is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// Its files, as they are.
    Files,
    /// The difference that an overlay's upper folder makes, with OCI's whiteouts.
    Difference,
}

/// Writes the whole tree below `root` as a tar stream, without `root` itself. Sockets are left out.
pub fn export(root: BorrowedFd<'_>, out: impl Write) -> Result<()> {
    Exporter::new(out, View::Files).tree(root, Vec::new())
}

/// Writes one file or folder `name` of folder `parent`, and all below it, as a tar stream whose first entry is called
/// `as_name` (`docker cp` from a container).
pub fn export_entry(parent: BorrowedFd<'_>, name: &OsStr, as_name: &OsStr, out: impl Write) -> Result<()> {
    let name = CString::new(name.as_bytes()).map_err(|_| Error::invalid("a name holds a NUL"))?;
    let mut exporter = Exporter::new(out, View::Files);
    let path = as_name.as_bytes().to_vec();
    let root = exporter.entry(parent, &name, &path).map_err(|error| export_error(&path, error))?;
    match root {
        Some(folder) => exporter.tree(folder.as_fd(), path),
        None => exporter.finish(),
    }
}

/// Writes an overlay `upper` folder as a layer: whiteouts and opaque folders in OCI's form.
///
/// # Errors
/// `NotImplemented` when overlay used redirects or metadata-only copies, which a layer cannot express: containers
/// are mounted without them.
pub fn diff(upper: BorrowedFd<'_>, out: impl Write) -> Result<()> {
    Exporter::new(out, View::Difference).tree(upper, Vec::new())
}

/// What [`layer`] wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of entries.
    pub entries: u64,
    /// Sum of the sizes of regular files in bytes.
    pub size: u64,
}

/// As [`diff`], and tells what it wrote. With `latest`, in seconds since 1970, no time is later than that.
///
/// # Errors
/// As [`diff`].
pub fn layer(upper: BorrowedFd<'_>, latest: Option<i64>, out: impl Write) -> Result<Written> {
    let mut written = Written::default();
    let mut exporter = Exporter::new(out, View::Difference);
    exporter.latest = latest;
    exporter.counter = Some(&mut written);
    exporter.tree(upper, Vec::new())?;
    Ok(written)
}

struct Exporter<'a, W> {
    writer: Writer<W>,
    view: View,
    /// No time is later than this.
    latest: Option<i64>,
    counter: Option<&'a mut Written>,
    /// The first name of each file that has several.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Exporter<'_, W> {
    fn new(out: W, view: View) -> Self {
        Self { writer: Writer::new(out), view, latest: None, counter: None, linked: HashMap::new() }
    }

    /// Writes all below `root`, whose own name is `path`, and ends the stream.
    fn tree(mut self, root: BorrowedFd<'_>, mut path: Vec<u8>) -> Result<()> {
        let root = rustix::fs::openat(root, c".", DIR_FLAGS, Mode::empty());
        let mut descent = root.and_then(Descent::new).map_err(|error| export_error(&path, error))?;
        let mut pending = vec![sorted(descent.current()).map_err(|error| export_error(&path, error))?];
        while let Some(level) = pending.last_mut() {
            let Some(name) = level.pop() else {
                pending.pop();
                descent.leave().map_err(|error| export_error(&path, error))?;
                pop_name(&mut path);
                continue;
            };
            push_name(&mut path, &name);
            let folder = self.entry(descent.current(), &name, &path);
            let entered = folder.and_then(|folder| folder.map(|_| Ok(descent.enter(&name)?)).transpose());
            let entered = match entered {
                // It went away since the folder was listed; nothing of it is in the stream.
                Err(error) if self.view == View::Files && error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => other,
            };
            match entered.map_err(|error| export_error(&path, error))? {
                Some(()) => pending.push(sorted(descent.current()).map_err(|error| export_error(&path, error))?),
                None => pop_name(&mut path),
            }
        }
        self.finish()
    }

    fn finish(self) -> Result<()> {
        self.writer.finish().map(drop).map_err(|error| export_error(b"end", error))
    }

    /// Writes one entry; a folder is returned open, its contents are the caller's matter.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let stat = dir::lstat(parent, name)?;
        if self.view == View::Difference && whiteout::is(&stat) {
            self.whiteout(path, &stat)?;
            return Ok(None);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.folder(parent, name, path).map(Some),
            FileType::RegularFile => self.file(parent, name, path, &stat)?,
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                self.append(&Entry { link, ..entry(path, EntryKind::Symlink, &stat) })?;
            }
            FileType::CharacterDevice => self.append(&entry(path, EntryKind::CharDevice, &stat))?,
            FileType::BlockDevice => self.append(&entry(path, EntryKind::BlockDevice, &stat))?,
            FileType::Fifo => self.append(&entry(path, EntryKind::Fifo, &stat))?,
            // A socket means nothing without its process.
            FileType::Socket | FileType::Unknown => {}
        }
        Ok(None)
    }

    fn folder(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> io::Result<OwnedFd> {
        let fd = rustix::fs::openat(parent, name, DIR_FLAGS, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        let all = xattrs(fd.as_fd())?;
        let has_slash = [path, b"/"].concat();
        let xattrs = self.content_xattrs(&all)?;
        self.append(&Entry { xattrs, ..entry(&has_slash, EntryKind::Directory, &stat) })?;
        if self.view == View::Difference && is_opaque(&all) {
            let path = [&has_slash[..], OPAQUE].concat();
            self.append(&Entry { mode: 0, size: 0, ..entry(&path, EntryKind::File, &stat) })?;
        }
        Ok(fd)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8], stat: &Stat) -> io::Result<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.linked.get(&dir::inode(stat)) {
                let link = first.clone();
                return self.append(&Entry { link, size: 0, ..entry(path, EntryKind::HardLink, stat) });
            }
            self.linked.insert(dir::inode(stat), path.to_vec());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let xattrs = self.content_xattrs(&xattrs(fd.as_fd())?)?;
        // The size may have changed since, and the name may be of another file by now.
        let stat = rustix::fs::fstat(&fd)?;
        let mut entry = Entry { xattrs, ..entry(path, EntryKind::File, &stat) };
        self.note(&mut entry);
        self.writer.append_file(&entry, File::from(fd))
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut entry = entry.clone();
        self.note(&mut entry);
        self.writer.append(&entry)
    }

    fn note(&mut self, entry: &mut Entry) {
        if let Some(latest) = self.latest.filter(|latest| entry.mtime.0 > *latest) {
            entry.mtime = (latest, 0);
        }
        if let Some(written) = &mut self.counter {
            written.entries += 1;
            written.size += if entry.kind == EntryKind::File { entry.size } else { 0 };
        }
    }

    fn whiteout(&mut self, path: &[u8], stat: &Stat) -> io::Result<()> {
        let start = path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        let path = [&path[..start], PREFIX, &path[start..]].concat();
        self.append(&Entry { mode: 0, device: (0, 0), ..entry(&path, EntryKind::File, stat) })
    }

    fn content_xattrs(&self, all: &Xattrs) -> io::Result<Xattrs> {
        if self.view == View::Difference && all.iter().any(|(name, _)| is_inexpressible(name)) {
            let why = "overlay kept a redirect or a metadata-only copy here, which a layer cannot express";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(all.iter().filter(|(name, _)| xattr_travels(name)).cloned().collect())
    }
}

pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

fn is_opaque(xattrs: &Xattrs) -> bool {
    xattrs.iter().any(|(name, value)| name == whiteout::OPAQUE_XATTR.to_bytes() && value == b"y")
}

fn is_inexpressible(name: &[u8]) -> bool {
    matches!(name, b"trusted.overlay.redirect" | b"trusted.overlay.metacopy")
}

fn entry(path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
    let is_file = kind == EntryKind::File && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Entry {
        path: path.to_vec(),
        kind,
        link: Vec::new(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, 0),
        size: if is_file { stat.st_size.unsigned_abs() } else { 0 },
        device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// All extended attributes in the order of their names.
pub(crate) fn xattrs(fd: BorrowedFd<'_>) -> io::Result<Xattrs> {
    let names = match grow(|buffer| rustix::fs::flistxattr(fd, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        match grow(|buffer| rustix::fs::fgetxattr(fd, name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Asks with a small buffer first; nearly all files have nothing or little.
fn grow(mut ask: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 256];
    let mut buffer = match ask(&mut small) {
        Ok(len) => return Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => vec![0; 64 * 1024],
        Err(error) => return Err(error),
    };
    let len = ask(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

/// The names of a folder, last first, so that they are taken from the end.
fn sorted(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names: Vec<CString> = dir::entries(dir)?.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

fn push_name(path: &mut Vec<u8>, name: &CStr) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
}

fn pop_name(path: &mut Vec<u8>) {
    let len = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
    path.truncate(len);
}

fn export_error(path: &[u8], error: impl Into<io::Error>) -> Error {
    let error = error.into();
    let kind = if error.kind() == io::ErrorKind::Unsupported { Kind::NotImplemented } else { Kind::System };
    let kind = if error.kind() == io::ErrorKind::StorageFull { Kind::Exhausted } else { kind };
    Error::new(kind, format!("/{}: cannot write it to the archive", printable(path))).caused_by(error)
}
