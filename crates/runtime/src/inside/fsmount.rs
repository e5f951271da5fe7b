//! File systems by the new mount API: fsopen, fsconfig, fsmount, move_mount. Kernel 5.2.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, mount_remount, move_mount,
    open_tree,
};
use wharf_sys::mount::{Change, attribute, propagation, set_attributes};

/// One parameter of a file system: a flag, or a name with a value.
pub(super) type Parameter<'a> = (&'a str, Option<&'a str>);

/// A mount that is attached nowhere yet.
#[derive(Debug)]
pub(crate) struct Detached {
    fd: OwnedFd,
    /// What the kernel (before 5.12) could not set while it was detached.
    left: Vec<(Change, bool)>,
}

/// Makes a file system of this type with `attributes` (bits of [`attribute`]).
pub(super) fn new(kind: &str, parameters: &[Parameter<'_>], attributes: u64) -> io::Result<Detached> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in parameters {
        match value {
            Some(value) => fsconfig_set_string(&context, *name, *value),
            None => fsconfig_set_flag(&context, *name),
        }
        .map_err(|error| explain(&context, error))?;
    }
    create(&context, attributes)
}

/// Creates and mounts a file system that has all its parameters.
pub(super) fn create(context: &OwnedFd, attributes: u64) -> io::Result<Detached> {
    fsconfig_create(context).map_err(|error| explain(context, error))?;
    let flags = MountAttrFlags::from_bits_retain(attributes as u32);
    let fd = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    Ok(Detached { fd, left: Vec::new() })
}

/// The kernel's own words about a failure, which it keeps in the context's log, or the error number's.
pub(super) fn explain(context: &OwnedFd, error: rustix::io::Errno) -> io::Error {
    let mut line = [0; 512];
    let error = io::Error::from(error);
    match rustix::io::read(context, &mut line) {
        Ok(length) if length > 2 => {
            let text = String::from_utf8_lossy(&line[2..length]);
            io::Error::new(error.kind(), format!("{error}: {}", text.trim_end()))
        }
        _ => error,
    }
}

/// A copy of an existing mount, or of the part of it below a folder or file.
pub(super) fn copy(dir: impl AsFd, path: &std::path::Path, recursive: bool) -> io::Result<Detached> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(Detached { fd: open_tree(dir, path, flags)?, left: Vec::new() })
}

impl Detached {
    /// Changes attributes or propagation, of all mounts below as well if `recursive`.
    pub(super) fn change(&mut self, change: Change, recursive: bool) -> io::Result<()> {
        match set_attributes(&self.fd, c"", recursive, change) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
                self.left.push((change, recursive));
                Ok(())
            }
            other => other,
        }
    }

    /// Shows the files with the owners that the user namespace maps them to.
    pub(crate) fn map_owners(&mut self, user_namespace: impl AsFd, recursive: bool) -> io::Result<()> {
        wharf_sys::mount::map_owners(&self.fd, user_namespace, recursive)
    }

    /// The root of the mount.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Attaches the mount over the file or folder `target`, and returns the mount.
    pub(super) fn attach(self, target: impl AsFd) -> io::Result<OwnedFd> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.fd, "", target, "", flags)?;
        for (change, recursive) in &self.left {
            change_attached(&self.fd, *change, *recursive)?;
        }
        Ok(self.fd)
    }
}

/// Changes an attached mount: by mount_setattr, or by mount(2) on kernels before 5.12 (the top mount only, for flags).
pub(super) fn change(mount: &OwnedFd, change: Change, recursive: bool) -> io::Result<()> {
    match set_attributes(mount, c"", recursive, change) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
            change_attached(mount, change, recursive)
        }
        other => other,
    }
}

fn change_attached(mount: &OwnedFd, change: Change, recursive: bool) -> io::Result<()> {
    let path = CString::new(format!("/proc/self/fd/{}", mount.as_raw_fd()))?;
    if change.propagation != 0 {
        let mut flags = match change.propagation {
            propagation::SHARED => MountPropagationFlags::SHARED,
            propagation::SLAVE => MountPropagationFlags::DOWNSTREAM,
            propagation::UNBINDABLE => MountPropagationFlags::UNBINDABLE,
            _ => MountPropagationFlags::PRIVATE,
        };
        flags.set(MountPropagationFlags::REC, recursive);
        mount_change(&path, flags)?;
    }
    if change.set | change.clear != 0 {
        let present = u64::from(rustix::fs::fstatvfs(mount)?.f_flag.bits() as u32);
        let wanted = present & !change.clear | change.set;
        mount_remount(&path, MountFlags::BIND | old_flags(wanted), "")?;
    }
    Ok(())
}

/// The bits of [`attribute`] as mount(2) has them.
fn old_flags(attributes: u64) -> MountFlags {
    let pairs = [
        (attribute::RDONLY, MountFlags::RDONLY),
        (attribute::NOSUID, MountFlags::NOSUID),
        (attribute::NODEV, MountFlags::NODEV),
        (attribute::NOEXEC, MountFlags::NOEXEC),
    ];
    pairs
        .into_iter()
        .filter(|(bit, _)| attributes & bit != 0)
        .fold(MountFlags::empty(), |flags, (_, flag)| flags | flag)
}
