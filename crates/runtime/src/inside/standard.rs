//! The file systems that every container has: /proc, /dev and what is in it, /sys.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, mkdirat, symlinkat};
use wharf_sys::mount::attribute::{NODEV, NOEXEC, NOSUID, RDONLY, STRICTATIME};
use wharf_sys::path::open_beneath;
use wharf_types::{Result, ResultExt};

use super::destination::{Missing, find_or_make};
use super::fsmount::{self, Parameter};
use super::mounts::replaces;
use super::{device, terminal};
use crate::spec::ContainerSpec;

const INERT: u64 = NOSUID | NODEV | NOEXEC;

/// Links of /dev.
pub(super) const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Mounts them all, but for those that the specification replaces.
pub(super) fn mount(root: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    if !replaces(spec, "/proc") {
        mount_kernel(root, "proc", INERT)?;
    }
    if !replaces(spec, "/dev") {
        mount_dev(root, spec)?;
    }
    if !replaces(spec, "/sys") {
        mount_kernel(root, "sysfs", if spec.privileged { INERT } else { INERT | RDONLY })?;
    }
    Ok(())
}

/// /proc or /sys. Neither may be a link: whatever is mounted there is trusted later on.
fn mount_kernel(root: &OwnedFd, kind: &str, attributes: u64) -> Result<()> {
    let place = if kind == "sysfs" { "sys" } else { kind };
    let failed = || format!("cannot mount /{place}");
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let target = match open_beneath(root, place, flags, Mode::empty()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            mkdirat(root, place, Mode::from_raw_mode(0o755)).map_err(std::io::Error::from).with_context(failed)?;
            open_beneath(root, place, flags, Mode::empty())
        }
        other => other,
    };
    let target = target.with_context(failed)?;
    let detached = fsmount::new(kind, &[("source", Some(kind))], attributes).with_context(failed)?;
    detached.attach(target).with_context(failed)?;
    Ok(())
}

fn mount_dev(root: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    let parameters = [("source", Some("tmpfs")), ("mode", Some("755")), ("size", Some("65536k"))];
    let detached = fsmount::new("tmpfs", &parameters, NOSUID | STRICTATIME).context("cannot mount /dev")?;
    let target = find_or_make(root, "/dev", Missing::Folder).context("cannot make /dev")?;
    let dev = detached.attach(target).context("cannot mount /dev")?;
    device::make_all(root, &dev, spec)?;
    for (target, name) in LINKS {
        symlinkat(target, &dev, name)
            .map_err(std::io::Error::from)
            .with_context(|| format!("cannot make /dev/{name}"))?;
    }
    mount_in_dev(&dev, spec)
}

fn mount_in_dev(dev: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    let size = spec.shm_size.to_string();
    let pts = [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620")), ("gid", Some("5"))];
    let shm = [("source", Some("shm")), ("mode", Some("1777")), ("size", Some(size.as_str()))];
    let mounts: [(&str, &str, &[Parameter<'_>], u64); 3] = [
        ("pts", "devpts", &pts, NOSUID | NOEXEC),
        ("shm", "tmpfs", &shm, INERT),
        ("mqueue", "mqueue", &[("source", Some("mqueue"))], INERT),
    ];
    for (name, kind, parameters, attributes) in mounts {
        let failed = || format!("cannot mount /dev/{name}");
        mkdirat(dev, name, Mode::from_raw_mode(0o755)).map_err(std::io::Error::from).with_context(failed)?;
        if !replaces(spec, &format!("/dev/{name}")) {
            let target = open_beneath(dev, name, OFlags::PATH, Mode::empty()).with_context(failed)?;
            fsmount::new(kind, parameters, attributes).and_then(|mount| mount.attach(target)).with_context(failed)?;
        }
    }
    if spec.process.tty { terminal::reserve_console(dev) } else { Ok(()) }
}
