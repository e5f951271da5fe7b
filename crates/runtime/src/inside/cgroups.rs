//! /sys/fs/cgroup inside the container: its own part of the tree, or all of it where it shares the host's view.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, symlinkat};
use wharf_sys::mount::Change;
use wharf_sys::mount::attribute::{NODEV, NOEXEC, NOSUID, RDONLY};
use wharf_sys::path::open_beneath;
use wharf_types::{Result, ResultExt};

use super::destination::{Missing, find_or_make};
use super::{fsmount, mounts};
use crate::cgroup::{Hierarchy, Layout};
use crate::spec::{ContainerSpec, Namespace};

const INERT: u64 = NOSUID | NODEV | NOEXEC;

/// Mounts it, once the process is in its cgroup and in its cgroup namespace.
pub(super) fn mount(root: &OwnedFd, spec: &ContainerSpec, layout: &Layout) -> Result<()> {
    if mounts::replaces(spec, "/sys/fs/cgroup") || mounts::replaces(spec, "/sys") || mounts::replaces(spec, "/sys/fs") {
        return Ok(());
    }
    let attributes = if spec.privileged { INERT } else { INERT | RDONLY };
    mount_at(root, "/sys/fs/cgroup", attributes, spec, layout)
}

/// As [`mount()`], anywhere.
pub(super) fn mount_at(
    root: &OwnedFd,
    place: &str,
    attributes: u64,
    spec: &ContainerSpec,
    layout: &Layout,
) -> Result<()> {
    let target = find_or_make(root, place, Missing::Folder).with_context(|| format!("cannot find {place}"))?;
    match layout {
        Layout::Unified { root: host } => {
            let mount = if spec.namespaces.cgroup == Namespace::Host {
                copy(host, attributes)
            } else {
                fsmount::new("cgroup2", &[("source", Some("cgroup"))], attributes)
            };
            mount.and_then(|mount| mount.attach(target)).with_context(|| format!("cannot mount {place}"))?;
        }
        Layout::Legacy { hierarchies } => {
            let tmpfs = fsmount::new("tmpfs", &[("source", Some("tmpfs")), ("mode", Some("755"))], INERT);
            let folder =
                tmpfs.and_then(|tmpfs| tmpfs.attach(target)).with_context(|| format!("cannot mount {place}"))?;
            for hierarchy in hierarchies {
                bind_hierarchy(&folder, hierarchy, &spec.cgroup.path, attributes)
                    .with_context(|| format!("cannot mount {place}/{}", hierarchy.name))?;
            }
            let change = Change { set: attributes, ..Change::default() };
            fsmount::change(&folder, change, false).with_context(|| format!("cannot change {place}"))?;
        }
    }
    Ok(())
}

fn copy(path: &Path, attributes: u64) -> std::io::Result<fsmount::Detached> {
    let mut copy = fsmount::copy(CWD, path, false)?;
    copy.change(Change { set: attributes, ..Change::default() }, false)?;
    Ok(copy)
}

/// The container's folder of one hierarchy, under the hierarchy's name and, by links, those of its controllers.
fn bind_hierarchy(folder: &OwnedFd, hierarchy: &Hierarchy, path: &str, attributes: u64) -> std::io::Result<()> {
    let source: PathBuf = hierarchy.mount.join(path.trim_start_matches('/'));
    mkdirat(folder, &hierarchy.name, Mode::from_raw_mode(0o755))?;
    let target = open_beneath(folder, &hierarchy.name, OFlags::PATH, Mode::empty())?;
    copy(&source, attributes)?.attach(target)?;
    for controller in hierarchy.controllers.iter().filter(|name| **name != hierarchy.name) {
        symlinkat(&hierarchy.name, folder, controller)?;
    }
    Ok(())
}
