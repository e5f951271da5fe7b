//! Paths below a folder that can never lead out of it (openat2(2)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Opens `path` as if `root` were the root of the file system: absolute paths, `..` and symbolic links stay inside.
///
/// Links of /proc that jump elsewhere are refused. Kernel 5.6.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(root.as_fd(), path.as_ref(), flags | OFlags::CLOEXEC, mode, resolve))
}

/// Opens `path` below `root` without following any symbolic link on the way.
pub fn open_beneath(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(root.as_fd(), path.as_ref(), flags | OFlags::CLOEXEC, mode, resolve))
}

/// The kernel answers EAGAIN when something was renamed or mounted meanwhile and `..` could not be judged.
fn retry(mut call: impl FnMut() -> rustix::io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    for _ in 0..64 {
        match call() {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(rustix::io::Errno::AGAIN.into())
}
