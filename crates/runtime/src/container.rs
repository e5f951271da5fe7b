//! Starting a container in two steps.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use wharf_sys::process::{clone_process, join_namespaces, namespace};
use wharf_types::{Error, Result, ResultExt};

use crate::cgroup::{Group, Layout};
use crate::channel::{self, Caller};
use crate::inside::{self, Inheritance};
use crate::spec::{ContainerSpec, Namespace};
use crate::{Child, Stdio};

/// A container whose namespaces exist and whose file systems are being mounted. Dropping it undoes everything.
#[derive(Debug)]
pub struct Starting {
    // Only `release` takes it out.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    child: Child,
    cgroup: Option<Group>,
    channel: Caller,
    mounts: Option<OwnedFd>,
}

/// A running container: its first process and its cgroup.
#[derive(Debug)]
pub struct Init {
    /// Process 1 of the container.
    pub child: Child,
    /// Its cgroup, to be removed when the process has ended.
    pub cgroup: Group,
    /// Its mount namespace, which holds the mounts until this is dropped.
    ///
    /// Unmounting an overlay writes the whole file system of its upper folder to disk, and the last process to leave the
    /// namespace waits for that. Held until the end has been told, nobody else has to wait. `None` if
    /// it could not be had.
    pub mounts: Option<OwnedFd>,
}

impl Starting {
    /// Clones the container's first process into its namespaces and makes its cgroup, while the child begins to mount.
    pub fn begin(spec: &ContainerSpec, stdio: Stdio) -> Result<Self> {
        let layout = Layout::detect()?;
        // On version 2 a process is born in its cgroup; on version 1 it joins later, so the cgroup need not wait.
        let early =
            matches!(layout, Layout::Unified { .. }).then(|| Group::create_in(layout.clone(), spec)).transpose()?;
        let (child, channel) = clone_init(spec, &layout, early.as_ref(), stdio).inspect_err(|_| {
            // The failure to tell is that of the clone.
            let _removed = early.as_ref().map(Group::remove);
        })?;
        // A child that has failed already has none; `release` finds out why.
        let mounts = open_namespace(format!("/proc/{}/ns/mnt", child.pid()).as_ref()).ok();
        let mut starting = Self { parts: Some(Parts { child, cgroup: early, channel, mounts }) };
        starting.provide_cgroup(layout, spec)?;
        Ok(starting)
    }

    fn provide_cgroup(&mut self, layout: Layout, spec: &ContainerSpec) -> Result<()> {
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let group = match parts.cgroup.take() {
            Some(group) => group,
            None => Group::create_in(layout, spec)?,
        };
        let group = parts.cgroup.insert(group);
        let files = group.join_files()?;
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        parts.channel.send_cgroups(&files)
    }

    /// The first process's id in the caller's PID namespace.
    pub fn pid(&self) -> i32 {
        self.parts.as_ref().map_or(0, |parts| parts.child.pid())
    }

    /// Its pidfd.
    ///
    /// # Panics
    /// Never: only [`Starting::release`], which consumes it, takes the process out.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        match &self.parts {
            Some(parts) => parts.child.pidfd(),
            None => unreachable!("a starting container has a process"),
        }
    }

    /// Lets the program run: the network is ready. Returns when it has been executed, or with the child's error.
    ///
    /// After a failure nothing is left: the child is reaped and the cgroup removed.
    pub fn release(mut self) -> Result<Init> {
        let Some(Parts { child, channel, .. }) = &mut self.parts else {
            return Err(Error::system("the container was released twice"));
        };
        channel.release()?;
        let terminal = channel.outcome()?;
        child.set_terminal(terminal);
        match self.parts.take() {
            Some(Parts { child, cgroup: Some(cgroup), mounts, .. }) => Ok(Init { child, cgroup, mounts }),
            _ => Err(Error::system("the container has no cgroup")),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(Parts { child, cgroup, .. }) = &self.parts {
            give_up(child, cgroup.as_ref());
        }
    }
}

/// Nobody is left to tell about failures here; the kernel's objects go with the process in any case.
fn give_up(child: &Child, cgroup: Option<&Group>) {
    let _gone = child.kill(rustix::process::Signal::KILL.as_raw());
    let _reaped = child.wait();
    let _removed = cgroup.map(Group::remove);
}

/// Clones the first process. What it needs of other namespaces is opened before, as it sees this process's files only.
fn clone_init(spec: &ContainerSpec, layout: &Layout, group: Option<&Group>, stdio: Stdio) -> Result<(Child, Caller)> {
    let (caller, newborn) = channel::pair()?;
    let join = namespaces_to_join(spec)?;
    let target = group.map(Group::clone_target).transpose()?.flatten();
    let inheritance = Cell::new(Some(Inheritance { spec, layout, stdio, channel: newborn, join }));
    let caller = Cell::new(Some(caller));
    let child = || match inheritance.take() {
        // Without its own copy of the caller's end it notices when the caller dies.
        Some(inheritance) if caller.take().is_some() => {
            i32::from(inside::start_container(inheritance).kind().start_exit_code())
        }
        _ => 255,
    };
    let flags = new_namespaces(spec);
    let cloned =
        in_pid_namespace(&spec.namespaces.pid, || clone_process(flags, target.as_ref().map(AsFd::as_fd), child))?;
    let (pid, pidfd) = cloned.context("cannot clone the container's first process")?;
    let caller = caller.take().ok_or_else(|| Error::system("the channel is gone"))?;
    Ok((Child::new(pid, pidfd), caller))
}

fn new_namespaces(spec: &ContainerSpec) -> u64 {
    let wanted = &spec.namespaces;
    let kinds = [
        (&wanted.pid, namespace::PID),
        (&wanted.ipc, namespace::IPC),
        (&wanted.uts, namespace::UTS),
        (&wanted.network, namespace::NETWORK),
    ];
    let new = kinds.into_iter().filter(|(wanted, _)| **wanted == Namespace::New);
    new.fold(namespace::MOUNT, |flags, (_, flag)| flags | flag)
}

fn namespaces_to_join(spec: &ContainerSpec) -> Result<Vec<(OwnedFd, u64)>> {
    let wanted = &spec.namespaces;
    let kinds = [
        (&wanted.ipc, namespace::IPC),
        (&wanted.uts, namespace::UTS),
        (&wanted.network, namespace::NETWORK),
        (&wanted.cgroup, namespace::CGROUP),
    ];
    let existing = kinds.into_iter().filter_map(|(wanted, kind)| match wanted {
        Namespace::Path(path) => Some((path, kind)),
        _ => None,
    });
    existing.map(|(path, kind)| Ok((open_namespace(path)?, kind))).collect()
}

fn open_namespace(path: &std::path::Path) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(std::io::Error::from)
        .with_context(|| format!("cannot open namespace {}", path.display()))
}

/// Runs `clone` with children born in the wanted PID namespace; this process itself stays where it is.
fn in_pid_namespace<T>(wanted: &Namespace, clone: impl FnOnce() -> T) -> Result<T> {
    match wanted {
        Namespace::Path(path) => bear_in_pid_namespace(&open_namespace(path)?, clone),
        _ => Ok(clone()),
    }
}

/// As setns(2) has it: the namespace behind `fd` (its own descriptor or a pidfd) is that of future children.
pub(crate) fn bear_in_pid_namespace<T>(fd: &impl AsFd, clone: impl FnOnce() -> T) -> Result<T> {
    let own = open_namespace(std::path::Path::new("/proc/self/ns/pid"))?;
    join_namespaces(fd, namespace::PID).context("cannot join the container's PID namespace")?;
    let result = clone();
    join_namespaces(&own, namespace::PID).context("cannot come back from the container's PID namespace")?;
    Ok(result)
}
