//! One container, made by hand.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::io::{read, write};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, chdir, pivot_root, waitpid};
use wharf_sys::process::{clone_process, execute, namespace};

use super::{Arguments, Network, cgroup, rtnetlink};

/// Makes a container, runs `true` in it and takes it down.
pub fn run(arguments: &Arguments, number: u32) -> Result<()> {
    let mut flags = namespace::MOUNT | namespace::PID | namespace::UTS | namespace::IPC | namespace::CGROUP;
    if arguments.network != Network::Host {
        flags |= namespace::NETWORK;
    }
    let (go, ready) = pipe_with(PipeFlags::CLOEXEC)?;
    let wait_for_network = arguments.network == Network::Veth;
    let child = || match inside(&arguments.folder, arguments.network, wait_for_network.then_some(&go)) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("floor: {error}");
            1
        }
    };
    let (pid, _pidfd) = clone_process(flags, None, child).context("clone3")?;
    let groups = if arguments.cgroups { cgroup::enter(pid)? } else { Vec::new() };
    if wait_for_network {
        rtnetlink::attach(&arguments.bridge, pid, number)?;
        write(&ready, &[1])?;
    }
    let status = waitpid(Pid::from_raw(pid), WaitOptions::empty())?;
    ensure!(status.is_some_and(|(_, status)| status.exit_status() == Some(0)), "the container failed: {status:?}");
    cgroup::leave(&groups)
}

enum Never {}

/// In the new namespaces: mounts and network, then `true`.
fn inside(folder: &Path, network: Network, go: Option<&OwnedFd>) -> io::Result<Never> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    chdir(folder)?;
    mount("overlay", "merged", "overlay", MountFlags::empty(), c"lowerdir=rootfs,upperdir=upper,workdir=work")?;
    chdir("merged")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    if network != Network::Host {
        wharf_sys::net::loopback_up()?;
    }
    if let Some(go) = go {
        read(go, &mut [0; 1])?;
        rtnetlink::configure()?;
    }
    let program = CString::new("/bin/true").map_err(io::Error::other)?;
    Err(execute(&program, std::slice::from_ref(&program), &[]))
}
