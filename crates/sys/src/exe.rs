//! The program's own executable as a descriptor that no container can use to overwrite it (CVE-2019-5736).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::memfd;
use crate::mount::{Change, attribute, set_attributes};

/// An executable descriptor of the running program inside a detached, read-only bind mount of it.
///
/// Run it as `/proc/self/fd/N`. Where the kernel (before 5.12) or privileges do not allow such a mount, it is a sealed
/// copy in memory.
pub fn self_exe_readonly() -> io::Result<OwnedFd> {
    detached_mount().or_else(|_| sealed_copy())
}

fn detached_mount() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let own = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let tree = open_tree(&own, c"", flags | OpenTreeFlags::AT_EMPTY_PATH)?;
    let readonly = Change { set: attribute::RDONLY | attribute::NOSUID | attribute::NODEV, ..Change::default() };
    set_attributes(&tree, c"", false, readonly)?;
    Ok(tree)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let data = memfd::read(File::open("/proc/self/exe")?.into())?;
    memfd::sealed("wharf", &data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn assert_immutable(fd: &OwnedFd) {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        assert!(std::fs::metadata(&path).unwrap().len() > 1000);
        assert!(File::options().write(true).open(&path).and_then(|file| file.set_len(0)).is_err());
    }

    #[test]
    fn nobody_can_write_the_executable() {
        assert_immutable(&sealed_copy().unwrap());
        if rustix::process::geteuid().is_root() {
            assert_immutable(&detached_mount().unwrap());
        }
    }
}
