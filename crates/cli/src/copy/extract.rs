//! A tar archive as files and folders of the host.
//!
//! The archive is not trusted: names are resolved by descriptor as if the target folder were the root of everything,
//! so that neither `..` nor a symbolic link leads out of it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::fs::{chownat, linkat, makedev, mkdirat, mknodat, openat, openat2, symlinkat, unlinkat, utimensat};
use tar::{Archive, Entry, EntryType};

/// Where entries go.
pub struct Target {
    /// The folder, which is there.
    pub folder: PathBuf,
    /// What the archive's first path component becomes.
    pub root: Root,
    /// Give files the owners that the archive names.
    pub owners: bool,
}

/// What the archive's first path component becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// It stays.
    Keep,
    /// It is left out, so that the contents land in the folder.
    Drop,
    /// Another name.
    Rename(String),
}

/// Extracts everything; answers how many bytes files had.
pub fn extract(archive: impl Read, target: &Target) -> io::Result<u64> {
    let folder = openat(CWD, &target.folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut extractor = Extractor { folder, target, folders: Vec::new(), bytes: 0 };
    let mut archive = Archive::new(archive);
    for entry in archive.entries()? {
        extractor.entry(&mut entry?)?;
    }
    extractor.finish()
}

struct Extractor<'a> {
    folder: OwnedFd,
    target: &'a Target,
    /// Modes and times of folders, which are set when nothing is written into them any more.
    folders: Vec<(PathBuf, Attributes)>,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    seconds: i64,
    owner: (u32, u32),
}

impl Extractor<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let Some(path) = self.place(&entry.path()?) else { return Ok(()) };
        let attributes = attributes(entry)?;
        if kind == EntryType::Directory {
            return self.make_folder(&path, attributes);
        }
        let (parent, name) = self.parent(&path)?;
        remove_file(&parent, &name)?;
        match kind {
            EntryType::Symlink => {
                let to = entry.link_name()?.ok_or_else(|| corrupt("a link without a target"))?;
                symlinkat(&*to, &parent, &name)?;
            }
            EntryType::Link => {
                let to = entry.link_name()?.ok_or_else(|| corrupt("a link without a target"))?;
                let to = self.place(&to).ok_or_else(|| corrupt("a link to nothing"))?;
                let (folder, file) = self.parent(&to)?;
                linkat(&folder, &file, &parent, &name, AtFlags::empty())?;
                return Ok(());
            }
            EntryType::Fifo => mknodat(&parent, &name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?,
            EntryType::Char | EntryType::Block => make_device(entry, &parent, &name)?,
            _ => self.write_file(entry, &parent, &name)?,
        }
        self.set(&parent, &name, attributes, kind == EntryType::Symlink)
    }

    /// The entry's path below the folder; `None` where nothing is left of it.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let parts = path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(Path::new(name)),
            _ => None,
        });
        let mut parts = parts.peekable();
        let first = parts.peek().copied();
        let from_dot = path.components().next() == Some(Component::CurDir);
        let placed: PathBuf = match &self.target.root {
            Root::Keep => parts.collect(),
            Root::Drop | Root::Rename(_) if from_dot => match &self.target.root {
                Root::Rename(name) => Path::new(name).join(parts.collect::<PathBuf>()),
                _ => parts.collect(),
            },
            Root::Drop => parts.skip(1).collect(),
            Root::Rename(name) => Path::new(name).join(parts.skip(usize::from(first.is_some())).collect::<PathBuf>()),
        };
        (!placed.as_os_str().is_empty()).then_some(placed)
    }

    /// The folder that holds the path's last component, made where it is missing.
    fn parent(&self, path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
        let name = path.file_name().map(PathBuf::from).ok_or_else(|| corrupt("an entry without a name"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match self.open_folder(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folders(parent)?;
                Ok((self.open_folder(parent)?, name))
            }
            other => Ok((other?, name)),
        }
    }

    fn open_folder(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat2(&self.folder, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?)
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            let above = if so_far.as_os_str().is_empty() { PathBuf::from(".") } else { so_far.clone() };
            so_far.push(part);
            match mkdirat(self.open_folder(&above)?, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Err(rustix::io::Errno::EXIST) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn make_folder(&mut self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        match mkdirat(&parent, &name, Mode::from_raw_mode(0o700)) {
            Err(rustix::io::Errno::EXIST) => {
                self.open_folder(path).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        format!("cannot replace the file {} by a folder", path.display()),
                    )
                })?;
            }
            other => other?,
        }
        self.folders.push((path.to_owned(), attributes));
        Ok(())
    }

    fn write_file<R: Read>(&mut self, entry: &mut Entry<'_, R>, parent: &OwnedFd, name: &Path) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
        self.bytes += io::copy(entry, &mut file)?;
        Ok(())
    }

    fn set(&self, parent: &OwnedFd, name: &Path, attributes: Attributes, is_link: bool) -> io::Result<()> {
        if self.target.owners {
            let (uid, gid) = attributes.owner;
            chownat(parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !is_link {
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())?;
        }
        let modified = Timespec { tv_sec: attributes.seconds, tv_nsec: 0 };
        let times =
            Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified };
        Ok(utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn finish(mut self) -> io::Result<u64> {
        for (path, attributes) in std::mem::take(&mut self.folders).into_iter().rev() {
            let (parent, name) = self.parent(&path)?;
            self.set(&parent, &name, attributes, false)?;
        }
        Ok(self.bytes)
    }
}

fn attributes<R: Read>(entry: &Entry<'_, R>) -> io::Result<Attributes> {
    let header = entry.header();
    let number = |n: u64| u32::try_from(n).map_err(|_| corrupt("an owner out of range"));
    Ok(Attributes {
        mode: header.mode()? & 0o7777,
        seconds: i64::try_from(header.mtime()?).unwrap_or(0),
        owner: (number(header.uid()?)?, number(header.gid()?)?),
    })
}

fn make_device<R: Read>(entry: &Entry<'_, R>, parent: &OwnedFd, name: &Path) -> io::Result<()> {
    let header = entry.header();
    let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
    let kind = if header.entry_type() == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
    Ok(mknodat(parent, name, kind, Mode::from_raw_mode(0o600), makedev(major, minor))?)
}

/// What is replaced must be no folder.
fn remove_file(parent: &OwnedFd, name: &Path) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            format!("cannot replace the folder {} by a file", name.display()),
        )),
        Err(error) => Err(error.into()),
    }
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the archive has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::pack::{Source, pack};
    use std::fs;

    fn archive_of(path: &Path, name: &str) -> Vec<u8> {
        let mut archive = Vec::new();
        pack(&Source { path: path.to_owned(), name: name.into(), follow: false }, &mut archive).unwrap();
        archive
    }

    fn to(folder: &Path, root: Root) -> Target {
        Target { folder: folder.to_owned(), root, owners: false }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/a"), "hello").unwrap();
        fs::hard_link(from.join("sub/a"), from.join("b")).unwrap();
        std::os::unix::fs::symlink("sub/a", from.join("l")).unwrap();
        let archive = archive_of(&from, "from");
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        for (root, place) in [(Root::Keep, "from/"), (Root::Drop, ""), (Root::Rename("x".into()), "x/")] {
            assert_eq!(extract(&archive[..], &to(&out, root)).unwrap(), 5);
            for name in ["sub/a", "b", "l"] {
                assert_eq!(fs::read_to_string(out.join(format!("{place}{name}"))).unwrap(), "hello", "{place}{name}");
            }
        }
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (out, secret) = (dir.path().join("out"), dir.path().join("secret"));
        fs::create_dir(&out).unwrap();
        fs::create_dir(&secret).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "l", &secret).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "l/f", &b"x"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        // The link is resolved within the folder, where it leads nowhere.
        let _ = extract(&archive[..], &to(&out, Root::Keep));
        assert!(!secret.join("f").exists());
    }
}
