//! Device nodes.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chmodat, chownat, makedev, mknodat};
use wharf_types::{Error, Result, ResultExt};

use super::destination::{Missing, find_or_make};
use super::fsmount;
use crate::spec::{ContainerSpec, Device};

/// The character devices that every container has: name, major, minor.
pub(crate) const STANDARD: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Makes the standard devices in `dev`, the root of the container's /dev, and the specification's wherever they are.
pub(super) fn make_all(root: &OwnedFd, dev: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    for (name, major, minor) in STANDARD {
        let device = Device { major, minor, ..character(format!("/dev/{name}")) };
        make(dev, name, &device)?;
    }
    for device in &spec.devices {
        let path = Path::new(&device.path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::invalid(format!("invalid device path: {:?}", device.path)));
        };
        let parent = find_or_make(root, &parent.to_string_lossy(), Missing::Folder)
            .with_context(|| format!("cannot make the folder of device {}", device.path))?;
        make(&parent, &name.to_string_lossy(), device)?;
    }
    Ok(())
}

fn character(path: String) -> Device {
    Device { path, block: false, major: 0, minor: 0, mode: 0o666, uid: 0, gid: 0, access: String::new() }
}

fn make(folder: &OwnedFd, name: &str, device: &Device) -> Result<()> {
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let mode = Mode::from_raw_mode(device.mode & 0o7777);
    let result = match mknodat(folder, name, kind, mode, makedev(device.major, device.minor)) {
        // A listed device may be one that exists already.
        Err(rustix::io::Errno::EXIST) => chmodat(folder, name, mode, AtFlags::empty()),
        // In a user namespace there is no mknod; the host's node does as well.
        Err(rustix::io::Errno::PERM) => return bind_from_host(folder, name, device),
        other => other,
    };
    let owned = result.and_then(|()| own(folder, name, device));
    owned.map_err(std::io::Error::from).with_context(|| format!("cannot make device {}", device.path))
}

fn own(folder: &OwnedFd, name: &str, device: &Device) -> rustix::io::Result<()> {
    if (device.uid, device.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn bind_from_host(folder: &OwnedFd, name: &str, device: &Device) -> Result<()> {
    let kind = if device.block { "block" } else { "char" };
    let source = host_node(kind, device);
    let failed = || format!("cannot bind device {} from {}", device.path, source.display());
    let detached = fsmount::copy(CWD, &source, false).with_context(failed)?;
    let target = find_or_make(folder, name, Missing::File).with_context(failed)?;
    detached.attach(target).with_context(failed)?;
    Ok(())
}

/// The host's own node of this device, which devtmpfs names in sysfs.
fn host_node(kind: &str, device: &Device) -> PathBuf {
    let entry = format!("/sys/dev/{kind}/{}:{}/uevent", device.major, device.minor);
    let name = std::fs::read_to_string(entry)
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("DEVNAME=").map(str::to_owned)));
    name.map_or_else(|| PathBuf::from(&device.path), |name| Path::new("/dev").join(name))
}
