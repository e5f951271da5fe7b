//! Leaving the host's root for the container's.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{fchdir, pivot_root};
use wharf_sys::mount::{Change, propagation};
use wharf_types::{Result, ResultExt};

use super::fsmount;

/// Makes `root` this process's root, and takes the host's away.
///
/// pivot_root(".", ".") puts the old root over the new one, from where it is detached: no folder for it is needed.
/// With `shared`, the old root's mounts are still tied to the host's, which must not see them go.
///
/// With `by_chroot` the host's root stays below, where this process can no longer name it: for a root that cannot be left.
pub(super) fn into(root: &OwnedFd, shared: bool, by_chroot: bool) -> Result<()> {
    let call = |result: rustix::io::Result<()>| result.map_err(std::io::Error::from);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = open("/", flags, Mode::empty()).map_err(std::io::Error::from).context("cannot open /")?;
    call(fchdir(root)).context("cannot enter the container's root")?;
    if by_chroot {
        call(rustix::process::chroot(".")).context("cannot make the container's root the root")?;
        return call(rustix::process::chdir("/")).context("cannot enter the container's root");
    }
    call(pivot_root(".", ".")).context("cannot make the container's root the root")?;
    if shared {
        let slave = Change { propagation: propagation::SLAVE, ..Change::default() };
        fsmount::change(&old, slave, true).context("cannot cut the host's mounts off")?;
    }
    call(unmount(".", UnmountFlags::DETACH)).context("cannot detach the host's root")?;
    call(rustix::process::chdir("/")).context("cannot enter the container's root")
}
