//! Exactly the mounts that are listed, in the listed order, and what belongs into /dev then.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, mkdirat, symlinkat};
use wharf_sys::path::open_beneath;
use wharf_types::{Error, Result, ResultExt};

use super::destination::{Missing, find_or_make};
use super::fsmount::Detached;
use super::mounts::{mount_one, normal};
use super::{cgroups, device, options, standard, terminal};
use crate::cgroup::Layout;
use crate::spec::{ContainerSpec, Mount, MountSource};

/// Mounts them, and makes the devices unless /dev is the host's.
pub(super) fn mount(
    root: &OwnedFd,
    spec: &ContainerSpec,
    layout: &Layout,
    binds: &mut [Option<Detached>],
) -> Result<()> {
    for (index, mount) in spec.mounts.iter().enumerate() {
        match &mount.source {
            MountSource::Filesystem { kind, .. } if matches!(kind.as_str(), "cgroup" | "cgroup2") => {
                let attributes = options::parse(&mount.options).change.set;
                cgroups::mount_at(root, &mount.destination, attributes, spec, layout)?;
            }
            MountSource::Filesystem { kind, .. } if matches!(kind.as_str(), "proc" | "sysfs") => {
                refuse_links(root, mount)?;
                mount_one(root, mount, None)?;
            }
            _ => mount_one(root, mount, binds.get_mut(index).and_then(Option::take))?,
        }
    }
    let bound =
        |mount: &Mount| matches!(mount.source, MountSource::Bind { .. }) && normal(&mount.destination) == "/dev";
    if spec.mounts.iter().any(bound) { Ok(()) } else { furnish_dev(root, spec) }
}

/// Neither /proc nor /sys may be reached through a link of the image: what is mounted there is trusted later on.
fn refuse_links(root: &OwnedFd, mount: &Mount) -> Result<()> {
    let place = normal(&mount.destination);
    match open_beneath(root, place.trim_start_matches('/'), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Ok(()),
        Err(error) => Err(Error::forbidden(format!("{place} must be a folder, not a link")).caused_by(error)),
    }
}

fn furnish_dev(root: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    let dev = find_or_make(root, "/dev", Missing::Folder).context("cannot make /dev")?;
    device::make_all(root, &dev, spec)?;
    let pts = match mkdirat(&dev, "pts", Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(std::io::Error::from(error)),
    };
    pts.context("cannot make /dev/pts")?;
    for (target, name) in standard::LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(std::io::Error::from(error)).with_context(|| format!("cannot make /dev/{name}"));
            }
        }
    }
    if spec.process.tty { terminal::reserve_console(&dev) } else { Ok(()) }
}
