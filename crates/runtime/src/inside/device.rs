//! Device nodes.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chmodat, chownat, makedev, mkdirat, mknodat};
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
    if spec.privileged {
        copy_folder(Path::new("/dev"), dev)?;
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

/// All devices of the host: a privileged container has them. Links and mounts (pts, shm, mqueue) are not devices.
fn copy_folder(source: &Path, target: &OwnedFd) -> Result<()> {
    let failed = || format!("cannot copy the devices in {}", source.display());
    let own = std::fs::metadata(source).with_context(failed)?.dev();
    for entry in std::fs::read_dir(source).with_context(failed)? {
        let entry = entry.with_context(failed)?;
        // A device may have been unplugged meanwhile.
        let Ok(status) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = status.file_type();
        if kind.is_dir() && status.dev() == own {
            let mode = Mode::from_raw_mode(status.mode() & 0o777);
            mkdirat(target, &name, mode).map_err(std::io::Error::from).with_context(failed)?;
            let folder = find_or_make(target, &name, Missing::Folder).with_context(failed)?;
            copy_folder(&entry.path(), &folder)?;
        } else if (kind.is_block_device() || kind.is_char_device()) && name != "ptmx" && name != "console" {
            make(target, &name, &device_of(&entry.path(), &status))?;
        }
    }
    Ok(())
}

fn device_of(path: &Path, status: &std::fs::Metadata) -> Device {
    Device {
        path: path.display().to_string(),
        block: status.file_type().is_block_device(),
        major: rustix::fs::major(status.rdev()),
        minor: rustix::fs::minor(status.rdev()),
        mode: status.mode() & 0o777,
        uid: status.uid(),
        gid: status.gid(),
        access: String::new(),
    }
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
