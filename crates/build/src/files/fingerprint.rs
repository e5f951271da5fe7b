//! What files are, for the cache: names, kinds, modes, owners and contents; never times.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags, Stat};
use wharf_types::{Digest, Hasher, Result, ResultExt};

use super::select::{Excludes, Selected};
use super::{Tree, join, kind, lstat, names, open_file, open_folder};

/// Contents from this number on are read by several threads.
const WORTH_THREADS: usize = 64;

/// The digest of all that was selected, as it would be copied.
///
/// # Errors
/// Those of reading.
pub fn fingerprint(tree: &Tree, selected: &[Selected], parents: bool, excludes: &[String]) -> Result<Digest> {
    let excludes = Excludes::new(excludes)?;
    let mut walk = Walk { tree, excludes: &excludes, lines: Vec::new(), contents: Vec::new() };
    for item in selected {
        walk.item(item, parents).with_context(|| format!("cannot read {:?}", item.path))?;
    }
    let digests = read_all(&walk.contents).context("cannot read the files of a step")?;
    let mut hasher = Hasher::new();
    let mut digests = digests.into_iter();
    for line in walk.lines {
        hasher.update(line.text.as_bytes());
        if line.has_content {
            let digest = line.known.or_else(|| digests.next());
            hasher.update(digest.map(|digest| digest.to_string()).unwrap_or_default().as_bytes());
        }
        hasher.update(b"\n");
    }
    Ok(hasher.finish())
}

struct Line {
    text: String,
    has_content: bool,
    known: Option<Digest>,
}

struct Walk<'a> {
    tree: &'a Tree,
    excludes: &'a Excludes,
    lines: Vec<Line>,
    /// Files that have to be read, by path from the root.
    contents: Vec<Content<'a>>,
}

struct Content<'a> {
    tree: &'a Tree,
    path: String,
}

impl Walk<'_> {
    fn item(&mut self, item: &Selected, parents: bool) -> io::Result<()> {
        let shown = if parents { item.kept.as_str() } else { item.name() };
        let fd = self.tree.open(&item.path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&fd)?;
        if item.is_folder {
            let shown = if parents { shown } else { "" };
            self.line(format!("folder {shown:?}"));
            let folder = self.tree.open(&item.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return self.folder(folder.as_fd(), &item.path, "");
        }
        self.entry_line(&stat, shown, "");
        if kind(&stat) == FileType::RegularFile {
            self.content(&item.path);
        }
        Ok(())
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str, inner: &str) -> io::Result<()> {
        for name in names(folder)? {
            let text = name.to_string_lossy();
            let (path, inner) = (join(path, &text), join(inner, &text));
            if self.tree.skips(&path) || self.excludes.covers(&inner) {
                continue;
            }
            let stat = lstat(folder, &name)?;
            let link = match kind(&stat) {
                FileType::Symlink => rustix::fs::readlinkat(folder, &name, Vec::new())?.to_string_lossy().into_owned(),
                _ => String::new(),
            };
            self.entry_line(&stat, &inner, &link);
            match kind(&stat) {
                FileType::RegularFile => {
                    self.xattrs(folder, &name)?;
                    self.content(&path);
                }
                FileType::Directory => self.folder(open_folder(folder, &name)?.as_fd(), &path, &inner)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn line(&mut self, text: String) {
        self.lines.push(Line { text, has_content: false, known: None });
    }

    fn entry_line(&mut self, stat: &Stat, shown: &str, link: &str) {
        let (uid, gid) = if self.tree.of_root { (0, 0) } else { (stat.st_uid, stat.st_gid) };
        let device =
            if matches!(kind(stat), FileType::CharacterDevice | FileType::BlockDevice) { stat.st_rdev } else { 0 };
        // A link's mode means nothing.
        let mode = if kind(stat) == FileType::Symlink { 0o120_777 } else { stat.st_mode };
        self.line(format!("{mode:o} {uid} {gid} {device} {shown:?} {link:?} "));
    }

    /// File capabilities are content; a context has none.
    fn xattrs(&mut self, folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
        if self.tree.of_root {
            return Ok(());
        }
        let fd = open_file(folder, name)?;
        let mut value = [0; 64];
        if let Ok(len) = rustix::fs::fgetxattr(&fd, c"security.capability", &mut value[..]) {
            self.line(format!("capability {:?}", &value[..len]));
        }
        Ok(())
    }

    fn content(&mut self, path: &str) {
        let known = self.tree.known.get(path).copied();
        if let Some(line) = self.lines.iter_mut().rev().find(|line| !line.text.starts_with("capability")) {
            line.has_content = true;
            line.known = known;
        }
        if known.is_none() {
            self.contents.push(Content { tree: self.tree, path: path.to_owned() });
        }
    }
}

/// The digests of all contents, in order.
fn read_all(contents: &[Content<'_>]) -> io::Result<Vec<Digest>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if contents.len() < WORTH_THREADS || threads < 2 {
        return contents.iter().map(read).collect();
    }
    let share = contents.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let parts: Vec<_> = contents
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(read).collect::<io::Result<Vec<_>>>()))
            .collect();
        let mut all = Vec::with_capacity(contents.len());
        for part in parts {
            all.extend(part.join().unwrap_or_else(|_| Err(io::Error::other("a reading thread failed")))?);
        }
        Ok(all)
    })
}

fn read(content: &Content<'_>) -> io::Result<Digest> {
    let mut file = File::from(content.tree.open(&content.path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let mut hasher = Hasher::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finish())
}
