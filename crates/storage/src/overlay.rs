//! Overlay mounts that are attached nowhere: they exist as long as their descriptor, and a crash leaves none.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};
use wharf_types::{Error, Kind, Result, ResultExt};

use crate::Snapshot;

/// The longest value in bytes that `fsconfig` takes.
const MAX_VALUE: usize = 255;

/// Mounts `layers` (topmost first) beneath the container's own folder and returns the root as a directory descriptor.
///
/// With `writable` true only for containers that do not run: a second mount that writes to an upper folder in use is
/// undefined. With `writable` false nothing on disk is touched, not even overlay's work folder, and what a running
/// container changes meanwhile may or may not be seen.
pub fn mount_container(layers: &[PathBuf], container: &Snapshot, writable: bool) -> Result<OwnedFd> {
    if writable {
        return mount(layers, Some((&container.upper, &container.work)));
    }
    let with_upper: Vec<PathBuf> = std::iter::once(&container.upper).chain(layers).cloned().collect();
    mount_layers(&with_upper)
}

/// Mounts `layers` (topmost first) read-only and returns the root as a directory descriptor.
pub fn mount_layers(layers: &[PathBuf]) -> Result<OwnedFd> {
    match layers {
        [] => Err(Error::invalid("there is no layer to mount")),
        // Overlay wants two layers at least; one layer alone is its own tree.
        [only] => clone_tree(only),
        layers => mount(layers, None),
    }
}

fn clone_tree(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).map_err(io::Error::from);
    readable(&tree.with_context(|| format!("cannot mount the layer {}", path.display()))?)
}

fn mount(layers: &[PathBuf], writable: Option<(&Path, &Path)>) -> Result<OwnedFd> {
    let folders = layers.iter().map(|path| open_folder(path)).collect::<Result<Vec<_>>>()?;
    let attempt = |set_lower: &dyn Fn(&OwnedFd) -> rustix::io::Result<()>| -> rustix::io::Result<OwnedFd> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        set_lower(&context)?;
        if let Some((upper, work)) = writable {
            set_upper(&context, upper, work)?;
        }
        fsconfig_create(&context)?;
        let attributes = if writable.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    // Before Linux 6.8 all layers go into one string; 6.5 is the first that might know better.
    let one_by_one = if wharf_sys::kernel::at_least(6, 5) {
        attempt(&|context| add_lowers(context, &folders))
    } else {
        Err(Errno::INVAL)
    };
    let mounted = match one_by_one {
        Err(Errno::INVAL) => attempt(&|context| set_lowers(context, &folders)),
        other => other,
    };
    readable(&mounted.map_err(mount_error)?)
}

/// One layer after the other, which has no limit on their number.
fn add_lowers(context: &OwnedFd, folders: &[OwnedFd]) -> rustix::io::Result<()> {
    folders.iter().try_for_each(|folder| fsconfig_set_string(context, "lowerdir+", proc_path(folder)))
}

fn set_lowers(context: &OwnedFd, folders: &[OwnedFd]) -> rustix::io::Result<()> {
    let paths: Vec<String> = folders.iter().map(proc_path).collect();
    let value = paths.join(":");
    if value.len() > MAX_VALUE {
        return Err(Errno::TOOBIG);
    }
    fsconfig_set_string(context, "lowerdir", value)
}

/// Redirects and metadata-only copies stay off: a layer could not express them, see [`crate::tar::diff`].
fn set_upper(context: &OwnedFd, upper: &Path, work: &Path) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let upper = rustix::fs::open(upper, flags, Mode::empty())?;
    let work = rustix::fs::open(work, flags, Mode::empty())?;
    fsconfig_set_string(context, "upperdir", proc_path(&upper))?;
    fsconfig_set_string(context, "workdir", proc_path(&work))?;
    fsconfig_set_string(context, "redirect_dir", "nofollow")?;
    fsconfig_set_string(context, "metacopy", "off")
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
    fd.with_context(|| format!("cannot open the layer {}", path.display()))
}

/// The kernel's name for an open folder: short, and free of the characters that overlay's options give a meaning.
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// A descriptor of the root that can be read and searched.
fn readable(root: &OwnedFd) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(root.as_fd(), c".", flags, Mode::empty()).map_err(io::Error::from);
    fd.context("cannot open the root of a mount")
}

fn mount_error(error: Errno) -> Error {
    let cause = io::Error::from(error);
    match error {
        Errno::NODEV => Error::not_implemented("this kernel has no overlay file system").caused_by(cause),
        Errno::TOOBIG => Error::not_implemented("the image has too many layers for this kernel to mount it aside")
            .with_hint("Linux 6.8 and later have no such limit")
            .caused_by(cause),
        _ => Error::new(Kind::System, "cannot mount the layers").caused_by(cause),
    }
}
