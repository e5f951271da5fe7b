//! What the new process does to itself: from the copy that clone3 made to the program's execve.
//!
//! ```text
//! clone3 ─ join namespaces ─ mount the root ─ /proc /dev /sys ─ user mounts ─ join cgroups ─ cgroup mount
//!        ─ sysctls, hostname ─ read-only and masked paths ─ pivot_root ─ (release) ─ user, limits, filter ─ execve
//! ```

mod cgroups;
mod copy_up;
mod destination;
mod device;
mod fsmount;
mod hooks;
mod listed;
mod masks;
mod mounts;
mod options;
mod overlay;
mod pivot;
mod privileges;
mod process;
mod program;
mod reaper;
mod standard;
mod terminal;
mod user;

use std::os::fd::OwnedFd;

use wharf_sys::process::{join_namespaces, namespace, unshare};
use wharf_types::{Result, ResultExt};

use crate::cgroup::Layout;
use crate::channel::Newborn;
use crate::container::Pauses;
use crate::ready::Ready;
use crate::spec::{ContainerSpec, Namespace};
use crate::stdio::Stdio;

pub(crate) use device::STANDARD as STANDARD_DEVICES;
pub(crate) use fsmount::Detached;
pub(crate) use mounts::{copy_part, copy_root, copy_source};
pub(crate) use privileges::set_while_on_host;
pub use privileges::{has_apparmor, has_selinux};
pub(crate) use process::{Start, shield, start as start_process};
pub use user::ids_of;

/// Everything that the new process of a container needs from its parent.
pub(crate) struct Inheritance<'a> {
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) layout: &'a Layout,
    pub(crate) stdio: Stdio,
    pub(crate) channel: Newborn,
    /// Existing namespaces to join: the descriptor and its kind.
    pub(crate) join: Vec<(OwnedFd, u64)>,
    pub(crate) pauses: Pauses,
    /// What was made ready by the host's root.
    pub(crate) ready: Ready,
    /// Whether the network namespace is a new one with nothing in it.
    pub(crate) own_network: bool,
}

/// The life of a container's first process until its program runs; returns only on failure.
pub(crate) fn start_container(mut inheritance: Inheritance<'_>) -> wharf_types::Error {
    match prepare(&mut inheritance) {
        Err(error) => report(&inheritance.channel, error),
        Ok(()) => {
            let Inheritance { spec, stdio, mut channel, pauses, .. } = inheritance;
            let hooks = &spec.hooks.start_container;
            let start = Start { process: &spec.process, first: true, init: spec.init, gate: pauses.gate, hooks };
            start_process(start, stdio, &mut channel)
        }
    }
}

/// Tells the caller about a failure.
pub(crate) fn report(channel: &Newborn, error: wharf_types::Error) -> wharf_types::Error {
    channel.report(&error);
    error
}

fn prepare(inheritance: &mut Inheritance<'_>) -> Result<()> {
    let Inheritance { spec, layout, channel, join, ready, .. } = inheritance;
    shield()?;
    if ready.user.is_none() && spec.namespaces.time.is_none() {
        set_while_on_host(&spec.process)?;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    for (fd, kind) in join {
        join_namespaces(fd, *kind).context("cannot join a namespace of another container")?;
    }
    if inheritance.own_network {
        wharf_sys::net::loopback_up().context("cannot bring up the loopback interface")?;
    }
    if spec.namespaces.mount.is_some() {
        join_cgroups(spec, channel)?;
    } else {
        let place = Place { spec, layout, channel };
        mount_all(&place, ready, inheritance.pauses.mounted)?;
    }
    if inheritance.pauses.gate.is_some() { Ok(()) } else { channel.wait_for_release() }
}

/// What mounting needs to know.
pub(super) struct Place<'a> {
    pub(super) spec: &'a ContainerSpec,
    pub(super) layout: &'a Layout,
    pub(super) channel: &'a Newborn,
}

fn mount_all(place: &Place<'_>, ready: &mut Ready, pause: bool) -> Result<()> {
    let Place { spec, layout, channel } = *place;
    let shared = mounts::isolate(spec)?;
    let root = mounts::mount_root(spec, ready.root.take())?;
    let binds = &mut ready.binds;
    if spec.exact {
        join_cgroups(spec, channel)?;
        listed::mount(&root, spec, layout, binds)?;
    } else {
        standard::mount(&root, spec)?;
        let cgroups_first = mounts::touches(spec, "/sys/fs/cgroup/");
        if cgroups_first {
            enter_cgroups(&root, spec, layout, channel)?;
        }
        mounts::mount_user(&root, spec, binds)?;
        if !cgroups_first {
            enter_cgroups(&root, spec, layout, channel)?;
        }
    }
    name_host(spec)?;
    masks::set_kernel_parameters(&root, spec)?;
    if pause {
        let state = channel.pause_mounted()?;
        hooks::run(&spec.hooks.create_container, &state).context("a createContainer hook failed")?;
    }
    masks::apply(&root, spec)?;
    pivot::into(&root, shared, spec.no_pivot)
}

fn enter_cgroups(root: &OwnedFd, spec: &ContainerSpec, layout: &Layout, channel: &Newborn) -> Result<()> {
    join_cgroups(spec, channel)?;
    cgroups::mount(root, spec, layout)
}

fn join_cgroups(spec: &ContainerSpec, channel: &Newborn) -> Result<()> {
    for file in channel.receive_cgroups()? {
        crate::cgroup::join_self(&file)?;
    }
    if spec.namespaces.cgroup == Namespace::New {
        unshare(namespace::CGROUP).context("cannot make a cgroup namespace")?;
    }
    Ok(())
}

fn name_host(spec: &ContainerSpec) -> Result<()> {
    if spec.namespaces.uts != Namespace::New || spec.hostname.is_empty() && spec.domainname.is_none() {
        return Ok(());
    }
    let set = |result: rustix::io::Result<()>| result.map_err(std::io::Error::from);
    if !spec.hostname.is_empty() {
        set(rustix::system::sethostname(spec.hostname.as_bytes()))
            .with_context(|| format!("cannot set the host name to {:?}", spec.hostname))?;
    }
    if let Some(domain) = &spec.domainname {
        set(rustix::system::setdomainname(domain.as_bytes()))
            .with_context(|| format!("cannot set the domain name to {domain:?}"))?;
    }
    Ok(())
}
