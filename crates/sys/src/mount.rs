//! mount_setattr(2), which rustix lacks. The rest of the new mount API is in `rustix::mount`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::check;

/// Mount attribute bits (mount_setattr(2)).
pub mod attribute {
    /// No writes.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-id bits have no effect.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes have no effect.
    pub const NODEV: u64 = 0x4;
    /// No program may be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The bits that hold the access time policy: relatime is 0.
    pub const ATIME_MASK: u64 = 0x70;
    /// Access times are kept roughly: the default.
    pub const RELATIME: u64 = 0;
    /// Access times are not kept.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always kept.
    pub const STRICTATIME: u64 = 0x20;
    /// Folders' access times are not kept.
    pub const NODIRATIME: u64 = 0x80;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// Propagation types (mount_namespaces(7)).
pub mod propagation {
    /// Nothing passes in or out.
    pub const PRIVATE: u64 = libc::MS_PRIVATE;
    /// Events come in.
    pub const SLAVE: u64 = libc::MS_SLAVE;
    /// Events pass both ways.
    pub const SHARED: u64 = libc::MS_SHARED;
    /// Private, and not to be bound elsewhere.
    pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// A change of a mount's attributes: what to set, what to clear, and the propagation (0 leaves it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Bits of [`attribute`] to set.
    pub set: u64,
    /// Bits of [`attribute`] to clear.
    pub clear: u64,
    /// One of [`propagation`], or 0.
    pub propagation: u64,
}

/// Changes the mount at `path` below `dir` (an empty path is `dir` itself), with all mounts below it if `recursive`.
///
/// Kernel 5.12; `ENOSYS` before.
pub fn set_attributes(dir: impl AsFd, path: &CStr, recursive: bool, change: Change) -> io::Result<()> {
    let attributes =
        MountAttr { attr_set: change.set, attr_clr: change.clear, propagation: change.propagation, userns_fd: 0 };
    apply(dir, path, recursive, &attributes)
}

/// Shows the files of a mount that is attached nowhere with the owners that the user namespace maps them to
/// (MOUNT_ATTR_IDMAP, kernel 5.12).
///
/// `EINVAL` for a file system that cannot do this.
pub fn map_owners(mount: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> io::Result<()> {
    const IDMAP: u64 = 0x10_0000;
    let userns_fd = user_namespace.as_fd().as_raw_fd() as u64;
    apply(mount, c"", recursive, &MountAttr { attr_set: IDMAP, attr_clr: 0, propagation: 0, userns_fd })
}

fn apply(dir: impl AsFd, path: &CStr, recursive: bool, attributes: &MountAttr) -> io::Result<()> {
    let mut flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let dir = dir.as_fd().as_raw_fd();
    let size = std::mem::size_of::<MountAttr>();
    // SAFETY: `path` is a terminated string and `attributes` a mount_attr of `size` bytes, both alive during the call.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, dir, path.as_ptr(), flags, std::ptr::from_ref(attributes), size)
    })
    .map(drop)
}
