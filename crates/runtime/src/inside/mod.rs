//! What the new process does to itself: from the copy that clone3 made to the program's execve.
//!
//! ```text
//! clone3 ─ join namespaces ─ mount the root ─ /proc /dev /sys ─ user mounts ─ join cgroups ─ cgroup mount
//!        ─ sysctls, hostname ─ read-only and masked paths ─ pivot_root ─ (release) ─ user, limits, filter ─ execve
//! ```

mod cgroups;
mod destination;
mod device;
mod fsmount;
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
use crate::spec::{ContainerSpec, Namespace};
use crate::stdio::Stdio;

pub(crate) use device::STANDARD as STANDARD_DEVICES;
pub(crate) use privileges::set_while_on_host;
pub(crate) use process::{Start, shield, start as start_process};

/// Everything that the new process of a container needs from its parent.
pub(crate) struct Inheritance<'a> {
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) layout: &'a Layout,
    pub(crate) stdio: Stdio,
    pub(crate) channel: Newborn,
    /// Existing namespaces to join: the descriptor and its kind.
    pub(crate) join: Vec<(OwnedFd, u64)>,
}

/// The life of a container's first process until its program runs; returns only on failure.
pub(crate) fn start_container(inheritance: Inheritance<'_>) -> wharf_types::Error {
    match prepare(&inheritance) {
        Err(error) => report(&inheritance.channel, error),
        Ok(()) => {
            let Inheritance { spec, stdio, channel, .. } = inheritance;
            start_process(&Start { process: &spec.process, first: true, init: spec.init }, stdio, &channel)
        }
    }
}

/// Tells the caller about a failure.
pub(crate) fn report(channel: &Newborn, error: wharf_types::Error) -> wharf_types::Error {
    channel.report(&error);
    error
}

fn prepare(inheritance: &Inheritance<'_>) -> Result<()> {
    let Inheritance { spec, layout, channel, join, .. } = inheritance;
    shield()?;
    set_while_on_host(&spec.process)?;
    rustix::process::umask(rustix::fs::Mode::empty());
    for (fd, kind) in join {
        join_namespaces(fd, *kind).context("cannot join a namespace of another container")?;
    }
    if spec.namespaces.network == Namespace::New {
        wharf_sys::net::loopback_up().context("cannot bring up the loopback interface")?;
    }
    let shared = mounts::isolate(spec)?;
    let root = mounts::mount_root(spec)?;
    standard::mount(&root, spec)?;
    let cgroups_first = mounts::touches(spec, "/sys/fs/cgroup/");
    if cgroups_first {
        enter_cgroups(&root, spec, layout, channel)?;
    }
    mounts::mount_user(&root, spec)?;
    if !cgroups_first {
        enter_cgroups(&root, spec, layout, channel)?;
    }
    name_host(spec)?;
    masks::set_kernel_parameters(&root, spec)?;
    masks::apply(&root, spec)?;
    pivot::into(&root, shared)?;
    channel.wait_for_release()
}

fn enter_cgroups(root: &OwnedFd, spec: &ContainerSpec, layout: &Layout, channel: &Newborn) -> Result<()> {
    for file in channel.receive_cgroups()? {
        crate::cgroup::join_self(&file)?;
    }
    if spec.namespaces.cgroup == Namespace::New {
        unshare(namespace::CGROUP).context("cannot make a cgroup namespace")?;
    }
    cgroups::mount(root, spec, layout)
}

fn name_host(spec: &ContainerSpec) -> Result<()> {
    if spec.namespaces.uts != Namespace::New {
        return Ok(());
    }
    let set = |result: rustix::io::Result<()>| result.map_err(std::io::Error::from);
    set(rustix::system::sethostname(spec.hostname.as_bytes()))
        .with_context(|| format!("cannot set the host name to {:?}", spec.hostname))?;
    if let Some(domain) = &spec.domainname {
        set(rustix::system::setdomainname(domain.as_bytes()))
            .with_context(|| format!("cannot set the domain name to {domain:?}"))?;
    }
    Ok(())
}
