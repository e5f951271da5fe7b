//! What only the host's root can do for a container, and must be done before its first process exists: its user
//! namespace, and mounts that the container's own root could neither reach nor make.

use std::os::fd::{AsFd, OwnedFd};

use wharf_sys::process::{clone_process, namespace};
use wharf_types::{Error, Result, ResultExt};

use crate::Child;
use crate::birth::open_namespace;
use crate::inside::{Detached, copy_part, copy_root, copy_source};
use crate::spec::{ContainerSpec, IdMapping, IdRange, MountSource, UserNamespace};

/// Everything that was made ready.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// The user namespace.
    pub(crate) user: Option<OwnedFd>,
    /// The root, where the container cannot mount it itself.
    pub(crate) root: Option<Detached>,
    /// The binds, by their index in the specification, that the container cannot make itself.
    pub(crate) binds: Vec<Option<Detached>>,
}

pub(crate) fn prepare(spec: &ContainerSpec) -> Result<Ready> {
    let user = match &spec.namespaces.user {
        None => None,
        Some(UserNamespace::New(mapping)) => Some(make_user_namespace(mapping)?),
        Some(UserNamespace::Path(path)) => Some(open_namespace(path)?),
    };
    let root = match &user {
        Some(user) if spec.namespaces.mount.is_none() => Some(copy_root(spec, Some(user))?),
        _ => None,
    };
    if user.is_none() && spec.mounts.iter().all(|mount| mount.owners.is_none()) {
        return Ok(Ready::default());
    }
    let binds = spec.mounts.iter().map(|mount| {
        if user.is_none() && mount.owners.is_none() {
            return Ok(None);
        }
        let (path, mut bind) = match &mount.source {
            MountSource::Bind { path, recursive } => (path, copy_source(path, *recursive, mount)?),
            MountSource::Within { path, subpath } => (path, copy_part(path, subpath, mount)?),
            _ => return Ok(None),
        };
        if let Some(owners) = &mount.owners {
            let own = owners.mapping.as_ref().map(make_user_namespace).transpose()?;
            let Some(target) = own.as_ref().or(user.as_ref()) else {
                return Err(Error::invalid("a mount's owners cannot be mapped without a user namespace"));
            };
            bind.map_owners(target, owners.recursive)
                .with_context(|| format!("cannot map the owners of the files in {}", path.display()))?;
        }
        Ok(Some(bind))
    });
    let binds = binds.collect::<Result<Vec<_>>>()?;
    Ok(Ready { user, root, binds })
}

/// A user namespace with this mapping. A process that does nothing else holds it until it has a descriptor.
pub fn make_user_namespace(mapping: &IdMapping) -> Result<OwnedFd> {
    if mapping.uids.is_empty() || mapping.gids.is_empty() {
        return Err(Error::invalid("a user namespace needs mappings of users and of groups"));
    }
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let wait = || {
        let mut byte = [0];
        let _ended = rustix::io::read(&reader, &mut byte);
        0
    };
    let writer = std::cell::Cell::new(Some(writer));
    let holder = || {
        drop(writer.take());
        wait()
    };
    let (pid, pidfd) = clone_process(namespace::USER, None, holder).context("cannot make a user namespace")?;
    let made = map(pid, mapping).and_then(|()| open_namespace(format!("/proc/{pid}/ns/user").as_ref()));
    drop(writer);
    Child::new(pid, pidfd).wait()?;
    made
}

fn map(pid: i32, mapping: &IdMapping) -> Result<()> {
    for (file, ranges) in [("uid_map", &mapping.uids), ("gid_map", &mapping.gids)] {
        let line = |range: &IdRange| format!("{} {} {}\n", range.inside, range.outside, range.size);
        let text: String = ranges.iter().map(line).collect();
        std::fs::write(format!("/proc/{pid}/{file}"), &text)
            .with_context(|| format!("cannot write {file}: {}", text.trim_end()))?;
    }
    Ok(())
}

/// A network namespace that belongs to the user namespace `user`, so that the container's root is its root.
pub fn make_network_namespace(user: impl AsFd) -> Result<OwnedFd> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let (told, tell) = std::io::pipe().context("cannot make a pipe")?;
    let ends = std::cell::Cell::new(Some((writer, told)));
    let user = user.as_fd();
    let holder = || {
        drop(ends.take());
        let made = wharf_sys::process::join_namespaces(user, namespace::USER)
            .and_then(|()| wharf_sys::process::unshare(namespace::NETWORK));
        if made.is_err() {
            return 1;
        }
        let _told = rustix::io::write(&tell, b"x");
        let _ended = rustix::io::read(&reader, &mut [0]);
        0
    };
    let (pid, pidfd) = clone_process(0, None, holder).context("cannot clone a process")?;
    let ends = ends.take();
    drop(tell);
    let ready = ends.as_ref().map(|(_, told)| rustix::io::read(told, &mut [0]));
    let made = match ready {
        Some(Ok(1)) => open_namespace(format!("/proc/{pid}/ns/net").as_ref()),
        _ => Err(Error::system("cannot make a network namespace of the user namespace")),
    };
    drop(ends);
    Child::new(pid, pidfd).wait()?;
    made
}
