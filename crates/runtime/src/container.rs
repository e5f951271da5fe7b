//! Starting a container in two steps.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_types::{Error, Result};

use crate::birth;
use crate::cgroup::{Group, Layout};
use crate::channel::{self, Caller};
use crate::inside::{self, Inheritance};
use crate::notify::Notify;
use crate::spec::{ContainerSpec, Namespace};
use crate::{Child, Stdio, ready};

/// Where the new process waits on its way, beside the release.
#[derive(Debug, Default)]
pub struct Pauses {
    /// Wait, when everything is mounted, until [`Starting::go_on`]: for hooks.
    pub mounted: bool,
    /// Instead of waiting for [`Starting::release`], wait at this gate, a listening socket: for someone who comes later.
    pub gate: Option<OwnedFd>,
}

/// A container whose namespaces exist and whose file systems are being mounted. Dropping it undoes everything.
#[derive(Debug)]
pub struct Starting {
    // Only `release` and `leave_at_gate` take it out.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    child: Child,
    cgroup: Option<Group>,
    channel: Caller,
    mounts: Option<OwnedFd>,
    notify: Option<Notify>,
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
        Self::begin_with(spec, stdio, Pauses::default())
    }

    /// As [`Starting::begin`], with more places where the new process waits.
    pub fn begin_with(spec: &ContainerSpec, stdio: Stdio, pauses: Pauses) -> Result<Self> {
        let layout = Layout::detect()?;
        let notify = Notify::of(&spec.process.seccomp, &spec.id)?;
        let ready = ready::prepare(spec)?;
        // On version 2 a process is born in its cgroup; on version 1 it joins later, so the cgroup need not wait.
        let early =
            matches!(layout, Layout::Unified { .. }).then(|| Group::create_in(layout.clone(), spec)).transpose()?;
        let clone = || clone_init(spec, &layout, early.as_ref(), stdio, pauses, ready);
        let (child, channel) = clone().inspect_err(|_| {
            // The failure to tell is that of the clone.
            let _removed = early.as_ref().map(Group::remove);
        })?;
        // A child that has failed already has none; `release` finds out why.
        let mounts = birth::open_namespace(format!("/proc/{}/ns/mnt", child.pid()).as_ref()).ok();
        let mut starting = Self { parts: Some(Parts { child, cgroup: early, channel, mounts, notify }) };
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

    /// Waits for the pause when everything is mounted ([`Pauses::mounted`]).
    pub fn until_mounted(&mut self) -> Result<()> {
        self.parts_mut()?.channel.until_mounted()
    }

    /// Ends the pause when everything is mounted. `state` is what the hooks inside are told.
    pub fn go_on(&mut self, state: &str) -> Result<()> {
        self.parts_mut()?.channel.release_with(state)
    }

    /// Waits until the process stands at its gate ([`Pauses::gate`]), where it stays when this is gone. The container
    /// as it is, its terminal included.
    ///
    /// After a failure nothing is left.
    pub fn leave_at_gate(mut self) -> Result<Init> {
        let terminal = self.parts_mut()?.channel.until_created()?;
        self.take(terminal)
    }

    /// Lets the program run: the network is ready. Returns when it has been executed, or with the child's error.
    ///
    /// After a failure nothing is left: the child is reaped and the cgroup removed.
    pub fn release(mut self) -> Result<Init> {
        let Parts { child, channel, notify, .. } = self.parts_mut()?;
        channel.release()?;
        let pid = child.pid();
        let terminal = channel.outcome(&mut |listener| Notify::pass(notify.as_ref(), pid, &listener))?;
        self.take(terminal)
    }

    fn parts_mut(&mut self) -> Result<&mut Parts> {
        self.parts.as_mut().ok_or_else(|| Error::system("the container was released twice"))
    }

    fn take(&mut self, terminal: Option<OwnedFd>) -> Result<Init> {
        match self.parts.take() {
            Some(Parts { mut child, cgroup: Some(cgroup), mounts, .. }) => {
                child.set_terminal(terminal);
                Ok(Init { child, cgroup, mounts })
            }
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

/// Lets the program of a container run whose first process waits at its gate; `connection` is one to it, `state` what the
/// hooks inside are told. Returns when it has been executed, or with its error.
pub fn open_gate(connection: OwnedFd, spec: &ContainerSpec, pid: i32, state: &str) -> Result<()> {
    let notify = Notify::of(&spec.process.seccomp, &spec.id)?;
    let mut channel = Caller::new(connection);
    channel.release_with(state)?;
    channel.outcome(&mut |listener| Notify::pass(notify.as_ref(), pid, &listener)).map(drop)
}

/// Clones the first process. What it needs of other namespaces is opened before, as it sees this process's files only.
fn clone_init(
    spec: &ContainerSpec,
    layout: &Layout,
    group: Option<&Group>,
    stdio: Stdio,
    pauses: Pauses,
    ready: ready::Ready,
) -> Result<(Child, Caller)> {
    let (caller, newborn) = channel::pair()?;
    let join = birth::namespaces_to_join(spec)?;
    let target = group.map(Group::clone_target).transpose()?.flatten();
    let user = ready.user.as_ref().map(|user| user.try_clone()).transpose()?;
    let own_network = spec.namespaces.network == Namespace::New;
    let inheritance =
        Cell::new(Some(Inheritance { spec, layout, stdio, channel: newborn, join, pauses, ready, own_network }));
    let caller = Cell::new(Some(caller));
    let child = || match inheritance.take() {
        // Without its own copy of the caller's end it notices when the caller dies.
        Some(inheritance) if caller.take().is_some() => {
            i32::from(inside::start_container(inheritance).kind().start_exit_code())
        }
        _ => 255,
    };
    let child = birth::clone(spec, user.as_ref(), target.as_ref().map(AsFd::as_fd), child)?;
    let caller = caller.take().ok_or_else(|| Error::system("the channel is gone"))?;
    Ok((child, caller))
}
