//! What a runtime has to make in order to mount over it is no part of a layer.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};
use wharf_storage::overlay;
use wharf_sys::path::open_in_root;
use wharf_types::{Result, ResultExt};

/// Where every container has something mounted.
const STANDARD: [&str; 10] = [
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
    "/dev/pipes",
];

/// Removes from `upper` the empty files and folders that stand where something was mounted, unless the layers below have
/// them, and the folders above them that were made or touched for no other reason.
pub(super) fn remove(upper: &Path, layers: &[PathBuf], mounts: &[String]) -> Result<()> {
    let below = if layers.is_empty() { None } else { Some(overlay::mount_layers(layers)?) };
    let mut places: Vec<&str> = mounts.iter().map(String::as_str).chain(STANDARD).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    for place in places {
        let mut path = PathBuf::from(place);
        while path != Path::new("/") {
            if !take(upper, below.as_ref(), &path).context("cannot tidy up after a step")? {
                break;
            }
            path.pop();
        }
    }
    Ok(())
}

/// Takes one empty thing away; whether it went, or was not there.
fn take(upper: &Path, below: Option<&OwnedFd>, path: &Path) -> io::Result<bool> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let name = CString::new(relative.as_os_str().as_encoded_bytes())?;
    let root = fs::File::open(upper)?;
    // A link on the way means that the place is elsewhere: that is left alone.
    let parent = relative.parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(folder) = wharf_sys::path::open_beneath(&root, parent, flags, rustix::fs::Mode::empty()) else {
        return Ok(true);
    };
    let Some(base) = relative.file_name() else { return Ok(false) };
    let Ok(stat) = rustix::fs::statat(&folder, base, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(true) };
    let own = fs::symlink_metadata(upper.join(relative))?;
    let _ = name;
    if own.is_dir() {
        let lower = below.and_then(|below| lower_of(below, path));
        let is_same = match lower {
            None => true,
            Some(lower) => (lower.st_mode, lower.st_uid, lower.st_gid) == (own.mode(), own.uid(), own.gid()),
        };
        let is_empty = fs::read_dir(upper.join(relative))?.next().is_none();
        if !is_same || !is_empty {
            return Ok(false);
        }
        rustix::fs::unlinkat(folder.as_fd(), base, AtFlags::REMOVEDIR)?;
        return Ok(true);
    }
    let is_stub = own.is_file() && stat.st_size == 0 && below.and_then(|below| lower_of(below, path)).is_none();
    if is_stub {
        rustix::fs::unlinkat(folder.as_fd(), base, AtFlags::empty())?;
    }
    Ok(is_stub)
}

fn lower_of(below: &OwnedFd, path: &Path) -> Option<rustix::fs::Stat> {
    let fd = open_in_root(below, path, OFlags::PATH | OFlags::NOFOLLOW, rustix::fs::Mode::empty()).ok()?;
    rustix::fs::fstat(&fd).ok()
}
