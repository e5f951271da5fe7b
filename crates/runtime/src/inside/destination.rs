//! Places inside the container's root, found and made without ever leaving it.
//!
//! The root's content belongs to whoever made the image: any part of a path may be a symbolic link that points anywhere.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat, readlinkat};
use rustix::io::Errno;
use wharf_sys::path::open_in_root;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// What a place that does not exist is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A folder, mode 0755.
    Folder,
    /// An empty file, mode 0644 (folders on the way are made as folders).
    File,
}

/// The place at `path` inside `root` as a path descriptor; links are followed inside the root.
pub(super) fn find(root: impl AsFd, path: &str) -> io::Result<OwnedFd> {
    open_in_root(root, path, OFlags::PATH, Mode::empty())
}

/// As [`find`], but makes what is missing. A dangling link has its target made, inside the root.
pub(super) fn find_or_make(root: impl AsFd, path: &str, missing: Missing) -> io::Result<OwnedFd> {
    match find(&root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&root.as_fd(), path, missing),
        other => other,
    }
}

/// Walks down one name at a time. `reached` always names an existing folder.
fn make(root: &impl AsFd, path: &str, missing: Missing) -> io::Result<OwnedFd> {
    let mut left: VecDeque<String> = names(path);
    let mut reached = String::from("/");
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        let next = format!("{}/{name}", reached.trim_end_matches('/'));
        match find(root, &next) {
            Ok(_) => reached = next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = find(root, &reached)?;
                let kind = if left.is_empty() { missing } else { Missing::Folder };
                match make_one(&folder, &name, kind) {
                    Ok(()) => reached = next,
                    Err(Errno::EXIST) => {
                        links += 1;
                        let target = dangling_target(&folder, &name, links)?;
                        if target.starts_with('/') {
                            reached = String::from("/");
                        }
                        names(&target).into_iter().rev().for_each(|name| left.push_front(name));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    find(root, &reached)
}

fn names(path: &str) -> VecDeque<String> {
    path.split('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

fn make_one(folder: &OwnedFd, name: &str, missing: Missing) -> rustix::io::Result<()> {
    match missing {
        Missing::Folder => mkdirat(folder, name, Mode::from_raw_mode(0o755)),
        Missing::File => mknodat(folder, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    }
}

/// The target of a link that leads nowhere.
fn dangling_target(folder: &OwnedFd, name: &str, links: usize) -> io::Result<String> {
    if links > MOST_LINKS {
        return Err(Errno::LOOP.into());
    }
    let target = readlinkat(folder, name, Vec::new())?;
    target.into_string().map_err(|_| io::ErrorKind::InvalidFilename.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root_of(folder: &tempfile::TempDir) -> OwnedFd {
        std::fs::File::open(folder.path().join("root")).unwrap().into()
    }

    fn prepared() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("root/etc")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        let root = root_of(&folder);
        (folder, root)
    }

    #[test]
    fn links_out_of_the_root_lead_back_into_it() {
        let (folder, root) = prepared();
        let outside = folder.path().join("outside");
        symlink(&outside, folder.path().join("root/absolute")).unwrap();
        symlink("../../../outside", folder.path().join("root/etc/relative")).unwrap();
        find_or_make(&root, "/absolute/a/b", Missing::Folder).unwrap();
        find_or_make(&root, "/etc/relative/c", Missing::File).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        let inside = folder.path().join("root").join(outside.strip_prefix("/").unwrap());
        assert!(inside.join("a/b").is_dir());
        assert!(folder.path().join("root/outside/c").is_file());
    }

    #[test]
    fn parents_cannot_be_climbed_above_the_root() {
        let (folder, root) = prepared();
        find_or_make(&root, "/../../new/../new/deep", Missing::Folder).unwrap();
        assert!(folder.path().join("root/new/deep").is_dir());
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn a_circle_of_links_is_refused() {
        let (folder, root) = prepared();
        symlink("two", folder.path().join("root/one")).unwrap();
        symlink("one", folder.path().join("root/two")).unwrap();
        assert!(find_or_make(&root, "/one/x", Missing::Folder).is_err());
    }
}
