//! Further processes in a running container.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_sys::process::{clone_process, join_namespaces, namespace};
use wharf_types::{Error, Result, ResultExt};

use crate::cgroup::{self, Group};
use crate::channel::{self, Newborn};
use crate::container::bear_in_pid_namespace;
use crate::inside::{self, Start};
use crate::spec::Process;
use crate::{Child, Stdio};

/// Runs a process in the container whose init is behind `init` (a pidfd), in all its namespaces and its cgroup.
///
/// Returns when the program has been executed, or with the reason why it could not; then nothing is left.
pub fn spawn(init: BorrowedFd<'_>, process: &Process, stdio: Stdio, cgroup: &Group) -> Result<Child> {
    let (caller, newborn) = channel::pair()?;
    let cgroups = cgroup.join_files()?;
    let target = cgroup.clone_target()?;
    let inheritance = Cell::new(Some((stdio, newborn, cgroups)));
    let caller = Cell::new(Some(caller));
    let child = || match inheritance.take() {
        // Without its own copy of the caller's end it notices when the caller dies.
        Some((stdio, channel, cgroups)) if caller.take().is_some() => {
            i32::from(enter(init, process, stdio, &channel, &cgroups).kind().start_exit_code())
        }
        _ => 255,
    };
    let cloned = bear_in_pid_namespace(&init, || clone_process(0, target.as_ref().map(AsFd::as_fd), child));
    // No process can be born in a PID namespace whose init has ended.
    let cloned = cloned.map_err(|error| not_running(init).unwrap_or(error))?;
    let (pid, pidfd) = cloned.map_err(|error| {
        not_running(init).unwrap_or_else(|| Error::system("cannot clone a process into the container").caused_by(error))
    })?;
    // Only the new process holds its end from here on, so that its end can be noticed.
    drop(inheritance);
    let mut child = Child::new(pid, pidfd);
    let caller = caller.take().ok_or_else(|| Error::system("the channel is gone"))?;
    match caller.outcome() {
        Ok(terminal) => {
            child.set_terminal(terminal);
            Ok(child)
        }
        Err(error) => {
            child.wait()?;
            Err(not_running(init).unwrap_or(error))
        }
    }
}

fn not_running(init: BorrowedFd<'_>) -> Option<Error> {
    wharf_sys::process::send_signal(init, 0).err().map(|_| Error::conflict("the container is not running"))
}

/// The life of the new process until its program runs; returns only on failure.
fn enter(init: BorrowedFd<'_>, process: &Process, stdio: Stdio, channel: &Newborn, cgroups: &[OwnedFd]) -> Error {
    match join(init, process, cgroups) {
        Err(error) => inside::report(channel, error),
        Ok(()) => inside::start_process(&Start { process, first: false, init: false }, stdio, channel),
    }
}

fn join(init: BorrowedFd<'_>, process: &Process, cgroups: &[OwnedFd]) -> Result<()> {
    inside::shield()?;
    inside::set_while_on_host(process)?;
    for file in cgroups {
        cgroup::join_self(file)?;
    }
    let all = namespace::MOUNT | namespace::IPC | namespace::UTS | namespace::NETWORK | namespace::CGROUP;
    join_namespaces(init, all).context("cannot join the container's namespaces")
}
