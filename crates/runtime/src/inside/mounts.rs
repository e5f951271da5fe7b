//! The container's root and the mounts that its specification names.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, open};
use wharf_sys::mount::{Change, attribute, propagation};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::copy_up;
use super::destination::{Missing, find_or_make};
use super::fsmount::{self, Detached};
use super::options::{self, Parsed};
use super::overlay;
use crate::spec::{ContainerSpec, Mount, MountSource, Propagation, RootFs};

/// Cuts this mount namespace off from the host's, as far as the mounts of the container allow: a mount that is to see
/// the host's events keeps its tie. Returns whether events could still pass to the host.
pub(super) fn isolate(spec: &ContainerSpec) -> Result<bool> {
    let host = open_host_root()?;
    // What the mount table of the host has to keep of its ties depends on the mounts to come.
    let wanted = |kinds: &[Propagation]| {
        kinds.contains(&spec.root_propagation) || spec.mounts.iter().any(|mount| kinds.contains(&mount.propagation))
    };
    let shared = wanted(&[Propagation::Shared, Propagation::Rshared]);
    let tie =
        if wanted(&[Propagation::Slave, Propagation::Rslave]) { propagation::SLAVE } else { propagation::PRIVATE };
    let tie = if shared { propagation::SHARED } else { tie };
    let change = Change { propagation: tie, ..Change::default() };
    if !shared {
        fsmount::change(&host, change, true).context("cannot make the mounts private")?;
    }
    // The root is mounted over this one, which nobody outside may see.
    let private = Change { propagation: propagation::PRIVATE, ..Change::default() };
    if tie != propagation::PRIVATE {
        fsmount::change(&host, private, false).context("cannot make the host's root private")?;
    }
    Ok(shared)
}

fn open_host_root() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open("/", flags, Mode::empty()).map_err(std::io::Error::from).context("cannot open /")
}

/// Mounts the container's root on top of the host's: /, as this process resolves it, stays the host's until pivot_root.
pub(super) fn mount_root(spec: &ContainerSpec, ready: Option<Detached>) -> Result<OwnedFd> {
    let detached = match ready {
        Some(ready) => ready,
        None => copy_root(spec, None)?,
    };
    let root = detached.attach(open_host_root()?).context("cannot attach the container's root")?;
    let change = Change { propagation: bits(spec.root_propagation), ..Change::default() };
    fsmount::change(&root, change, is_recursive(spec.root_propagation))
        .context("cannot set the propagation of the container's root")?;
    Ok(root)
}

/// The container's root, attached nowhere; an overlay's files are shown with the owners that `user` maps them to.
pub(crate) fn copy_root(spec: &ContainerSpec, user: Option<&OwnedFd>) -> Result<Detached> {
    match (&spec.root, user) {
        (RootFs::Overlay { lower, upper, work, volatile }, None) => overlay::mount(lower, upper, work, *volatile),
        (RootFs::Overlay { lower, upper, work, .. }, Some(user)) => overlay::mount_mapped(lower, upper, work, user),
        (RootFs::Directory(folder), _) => {
            return fsmount::copy(CWD, folder, true)
                .with_context(|| format!("cannot use {} as the container's root", folder.display()));
        }
    }
    .context("cannot mount the container's root")
}

/// Whether a mount of the specification is at or below `prefix`, which ends with a slash.
pub(super) fn touches(spec: &ContainerSpec, prefix: &str) -> bool {
    spec.mounts.iter().any(|mount| format!("{}/", normal(&mount.destination)).starts_with(prefix))
}

/// Whether a mount of the specification takes exactly this place.
pub(super) fn replaces(spec: &ContainerSpec, place: &str) -> bool {
    spec.mounts.iter().any(|mount| normal(&mount.destination) == place)
}

pub(super) fn normal(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    format!("/{}", names.join("/"))
}

/// Mounts what the specification names. `binds` are those that were made ready, by index.
pub(super) fn mount_user(root: &OwnedFd, spec: &ContainerSpec, binds: &mut [Option<Detached>]) -> Result<()> {
    for (index, mount) in spec.mounts.iter().enumerate() {
        mount_one(root, mount, binds.get_mut(index).and_then(Option::take))?;
    }
    Ok(())
}

pub(super) fn mount_one(root: &OwnedFd, mount: &Mount, ready: Option<Detached>) -> Result<()> {
    let Parsed { mut change, parameters, deep } = options::parse(&mount.options);
    if mount.readonly {
        change.set |= attribute::RDONLY;
    }
    let failed = || format!("cannot mount {} at {}", describe(&mount.source), mount.destination);
    let (mut detached, missing) = match &mount.source {
        MountSource::Bind { path, recursive } => bind(path, *recursive, mount, change, ready)?,
        MountSource::Within { path, subpath } => {
            let part = match ready {
                Some(ready) => ready,
                None => copy_part(path, subpath, mount)?,
            };
            with_changes(part, mount, change)?
        }
        MountSource::Layers { lower, subpath } => {
            let whole = overlay::mount_lower(lower).with_context(failed)?;
            change.set |= attribute::RDONLY;
            with_changes(part(&whole, subpath).with_context(failed)?, mount, change)?
        }
        MountSource::Tmpfs => (fsmount::new("tmpfs", &parameters, change.set).with_context(failed)?, Missing::Folder),
        MountSource::Filesystem { kind, device } => {
            let mut all = vec![("source", Some(device.as_str()))];
            all.extend(&parameters);
            (fsmount::new(kind, &all, change.set).with_context(failed)?, Missing::Folder)
        }
    };
    if deep != Change::default() {
        detached.change(deep, true).with_context(failed)?;
    }
    let tie = Change { propagation: bits(mount.propagation), ..Change::default() };
    detached.change(tie, is_recursive(mount.propagation)).with_context(failed)?;
    let target = find_or_make(root, &mount.destination, missing).with_context(failed)?;
    if mount.copy_up {
        copy_up::fill(&target, detached.fd()).with_context(failed)?;
    }
    detached.attach(&target).with_context(failed)?;
    Ok(())
}

fn bind(
    path: &Path,
    recursive: bool,
    mount: &Mount,
    change: Change,
    ready: Option<Detached>,
) -> Result<(Detached, Missing)> {
    let detached = match ready {
        Some(ready) => ready,
        None => copy_source(path, recursive, mount)?,
    };
    with_changes(detached, mount, change)
}

/// The part of a mount at `subpath`, which does not lead out of it; the whole where it is empty.
fn part(whole: &Detached, subpath: &Path) -> std::io::Result<Detached> {
    let inside = if subpath.as_os_str().is_empty() { Path::new(".") } else { subpath };
    let part = wharf_sys::path::open_in_root(whole.fd(), inside, OFlags::PATH, Mode::empty())?;
    fsmount::copy(part, Path::new(""), false)
}

fn with_changes(mut detached: Detached, mount: &Mount, change: Change) -> Result<(Detached, Missing)> {
    let failed = || format!("cannot prepare the mount at {}", mount.destination);
    if change != Change::default() {
        detached.change(change, mount.readonly_recursive).with_context(failed)?;
    }
    let status = rustix::fs::fstat(detached.fd()).map_err(std::io::Error::from).with_context(failed)?;
    let is_folder = FileType::from_raw_mode(status.st_mode).is_dir();
    Ok((detached, if is_folder { Missing::Folder } else { Missing::File }))
}

/// A copy of what a bind shows.
pub(crate) fn copy_source(path: &Path, recursive: bool, mount: &Mount) -> Result<Detached> {
    match fsmount::copy(CWD, path, recursive) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text =
                format!("invalid mount config for type \"bind\": bind source path does not exist: {}", path.display());
            Err(Error::new(Kind::InvalidParameter, text))
        }
        other => other.with_context(|| format!("cannot bind {} at {}", path.display(), mount.destination)),
    }
}

/// A copy of a part of a folder.
pub(crate) fn copy_part(path: &Path, subpath: &Path, mount: &Mount) -> Result<Detached> {
    let failed = || format!("cannot mount {} at {}", describe(&mount.source), mount.destination);
    let whole = fsmount::copy(CWD, path, false).with_context(failed)?;
    part(&whole, subpath).with_context(failed)
}

fn describe(source: &MountSource) -> String {
    match source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Within { path, subpath } => format!("{} of {}", subpath.display(), path.display()),
        MountSource::Layers { .. } => "an image".to_owned(),
        MountSource::Tmpfs => "a tmpfs".to_owned(),
        MountSource::Filesystem { kind, device } => format!("{device} ({kind})"),
    }
}

fn bits(kind: Propagation) -> u64 {
    match kind {
        Propagation::Private | Propagation::Rprivate => propagation::PRIVATE,
        Propagation::Slave | Propagation::Rslave => propagation::SLAVE,
        Propagation::Shared | Propagation::Rshared => propagation::SHARED,
        Propagation::Unbindable | Propagation::Runbindable => propagation::UNBINDABLE,
    }
}

fn is_recursive(kind: Propagation) -> bool {
    matches!(kind, Propagation::Rprivate | Propagation::Rslave | Propagation::Rshared | Propagation::Runbindable)
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn paths_are_compared_in_their_normal_form() {
        assert_eq!(normal("/dev//shm/"), "/dev/shm");
        assert_eq!(normal("/./proc"), "/proc");
        assert_eq!(normal("/"), "/");
    }
}
