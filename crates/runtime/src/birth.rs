//! Cloning a process into new and existing namespaces.
//!
//! Usually one clone does it. Where namespaces are to belong to a user namespace that exists, or clocks are to be set,
//! somebody has to enter that first: an intermediate process, which then clones the first process as its own sibling.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use wharf_sys::packet;
use wharf_sys::process::{clone_process, clone_sibling, join_namespaces, namespace, unshare};
use wharf_types::{Error, Result, ResultExt};

use crate::Child;
use crate::inside;
use crate::spec::{ContainerSpec, Namespace, TimeNamespace};

/// Clones the process that runs `child` into the namespaces of `spec`, those to be joined by path excepted, which the
/// child joins itself; `user` is its user namespace, `cgroup` a folder of version 2.
pub(crate) fn clone(
    spec: &ContainerSpec,
    user: Option<&OwnedFd>,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> Result<Child> {
    let flags = new_namespaces(spec);
    if user.is_some() || spec.namespaces.time.is_some() {
        return clone_by_way(spec, user, cgroup, flags, child);
    }
    let cloned = in_pid_namespace(&spec.namespaces.pid, || clone_process(flags, cgroup, child))?;
    let (pid, pidfd) = cloned.context("cannot clone the container's first process")?;
    Ok(Child::new(pid, pidfd))
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
    let mount = if wanted.mount.is_some() { 0 } else { namespace::MOUNT };
    new.fold(mount, |flags, (_, flag)| flags | flag)
}

/// What of other processes' namespaces the new process joins: the descriptor and the kind.
pub(crate) fn namespaces_to_join(spec: &ContainerSpec) -> Result<Vec<(OwnedFd, u64)>> {
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
    let existing = existing.chain(wanted.mount.iter().map(|path| (path, namespace::MOUNT)));
    existing.map(|(path, kind)| Ok((open_namespace(path)?, kind))).collect()
}

pub(crate) fn open_namespace(path: &Path) -> Result<OwnedFd> {
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
    let own = open_namespace(Path::new("/proc/self/ns/pid"))?;
    join_namespaces(fd, namespace::PID).context("cannot join the container's PID namespace")?;
    let result = clone();
    join_namespaces(&own, namespace::PID).context("cannot come back from the container's PID namespace")?;
    Ok(result)
}

/// The intermediate process does what has to come first, clones its sibling, hands over its pidfd and ends.
fn clone_by_way(
    spec: &ContainerSpec,
    user: Option<&OwnedFd>,
    cgroup: Option<BorrowedFd<'_>>,
    flags: u64,
    child: impl FnOnce() -> i32,
) -> Result<Child> {
    let (ours, theirs) = packet::pair().context("cannot make a socket pair")?;
    let pid_namespace = match &spec.namespaces.pid {
        Namespace::Path(path) => Some(open_namespace(path)?),
        _ => None,
    };
    let joined_time = match &spec.namespaces.time {
        Some(TimeNamespace::Path(path)) => Some(open_namespace(path)?),
        _ => None,
    };
    let way = || {
        let result = prepare_way(spec, user, pid_namespace.as_ref(), joined_time.as_ref())
            .and_then(|()| clone_sibling(flags, child).context("cannot clone the container's first process"));
        let sent = match result {
            Ok((pid, pidfd)) => packet::send(&theirs, &pid.to_ne_bytes(), &[pidfd.as_fd()]),
            Err(error) => packet::send(&theirs, format!("failed: {}", error.chain()).as_bytes(), &[]),
        };
        i32::from(sent.is_err())
    };
    let (_pid, way) = clone_process(0, cgroup, way).context("cannot clone a process")?;
    drop(theirs);
    let message = packet::receive(&ours);
    Child::new(0, way).wait()?;
    let message = message.context("cannot hear from the process on the way")?;
    let (message, mut descriptors) = message.ok_or_else(|| Error::system("the process on the way died"))?;
    match (<[u8; 4]>::try_from(message.as_slice()), descriptors.pop()) {
        (Ok(pid), Some(pidfd)) => Ok(Child::new(i32::from_ne_bytes(pid), pidfd)),
        _ => Err(Error::system(String::from_utf8_lossy(&message).trim_start_matches("failed: ").to_owned())),
    }
}

fn prepare_way(
    spec: &ContainerSpec,
    user: Option<&OwnedFd>,
    pid: Option<&OwnedFd>,
    time: Option<&OwnedFd>,
) -> Result<()> {
    inside::shield()?;
    // In a user namespace these are out of reach, and so are the clocks' offsets.
    inside::set_while_on_host(&spec.process)?;
    if let Some(time) = time {
        join_namespaces(time, namespace::TIME).context("cannot join the time namespace")?;
    }
    if let Some(TimeNamespace::New(offsets)) = &spec.namespaces.time {
        unshare(namespace::TIME).context("cannot make a time namespace")?;
        for (clock, seconds, nanoseconds) in offsets {
            std::fs::write("/proc/self/timens_offsets", format!("{clock} {seconds} {nanoseconds}"))
                .with_context(|| format!("cannot set the {clock} clock"))?;
        }
    }
    if let Some(user) = user {
        join_namespaces(user, namespace::USER).context("cannot join the user namespace")?;
        become_root_of_namespace().context("cannot become root of the user namespace")?;
    }
    match pid {
        Some(pid) => join_namespaces(pid, namespace::PID).context("cannot join the PID namespace"),
        None => Ok(()),
    }
}

/// User and group 0, where the mapping has them. It is not the host's root any more, whatever number it had.
pub(crate) fn become_root_of_namespace() -> std::io::Result<()> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    let ignore_unmapped = |result: rustix::io::Result<()>| match result {
        Err(rustix::io::Errno::INVAL) => Ok(()),
        other => other,
    };
    // Where setgroups is denied there are no groups to lose.
    let _denied = set_thread_groups(&[]);
    ignore_unmapped(set_thread_res_gid(gid, gid, gid))?;
    ignore_unmapped(set_thread_res_uid(uid, uid, uid))?;
    Ok(())
}
