//! Further processes in a running container.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wharf_sys::process::{clone_process, join_namespaces, namespace};
use wharf_types::{Error, Result, ResultExt};

use crate::birth::{bear_in_pid_namespace, become_root_of_namespace};
use crate::cgroup::{self, Group};
use crate::channel::{self, Caller, Newborn};
use crate::inside::{self, Start};
use crate::notify::Notify;
use crate::spec::Process;
use crate::{Child, Stdio};

/// A process on its way to its program. That may take for ever: its cgroup may be frozen, or the program lie on a file
/// system that does not answer.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    caller: Caller,
    notify: Option<Notify>,
}

/// How far a process has come.
#[derive(Debug)]
pub enum Progress {
    /// Not there yet.
    Starting(Starting),
    /// Its program has been executed.
    Running(Child),
}

/// Runs a process in the container whose init is behind `init` (a pidfd), in all its namespaces and its cgroup.
///
/// Returns when the program has been executed, or with the reason why it could not; then nothing is left.
pub fn spawn(init: BorrowedFd<'_>, process: &Process, stdio: Stdio, cgroup: &Group) -> Result<Child> {
    let mut starting = begin(init, process, stdio, cgroup)?;
    loop {
        starting = match starting.advance(init)? {
            Progress::Running(child) => return Ok(child),
            Progress::Starting(starting) => starting,
        };
        let mut channel = [PollFd::new(&starting.caller, PollFlags::IN)];
        match poll(&mut channel, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error)).context("cannot wait for the new process"),
        }
    }
}

/// As [`spawn`], without waiting for the program.
///
/// # Errors
/// What keeps the process from being made.
pub fn begin(init: BorrowedFd<'_>, process: &Process, stdio: Stdio, cgroup: &Group) -> Result<Starting> {
    let (caller, newborn) = channel::pair()?;
    let cgroups = cgroup.join_files()?;
    let target = cgroup.clone_target()?;
    let inheritance = Cell::new(Some((stdio, newborn, cgroups)));
    let caller = Cell::new(Some(caller));
    let child = || match inheritance.take() {
        // Without its own copy of the caller's end it notices when the caller dies.
        Some((stdio, mut channel, cgroups)) if caller.take().is_some() => {
            i32::from(enter(init, process, stdio, &mut channel, &cgroups).kind().start_exit_code())
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
    let caller = caller.take().ok_or_else(|| Error::system("the channel is gone"))?;
    caller.unblock()?;
    Ok(Starting { child: Child::new(pid, pidfd), caller, notify: Notify::of(&process.seccomp, "")? })
}

impl Starting {
    /// Readable when [`Starting::advance`] has something to do.
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.caller.as_fd()
    }

    /// Gives it up.
    ///
    /// # Errors
    /// `Conflict` when it has ended.
    pub fn kill(&self) -> Result<()> {
        self.child.kill(9)
    }

    /// Looks how far it is, without waiting; `init` is the one that it was begun with.
    ///
    /// # Errors
    /// Why the program could not be executed; then nothing is left.
    pub fn advance(mut self, init: BorrowedFd<'_>) -> Result<Progress> {
        let pid = self.child.pid();
        match self.caller.look(&mut |listener| Notify::pass(self.notify.as_ref(), pid, &listener)) {
            Ok(true) => {
                self.child.set_terminal(self.caller.take_terminal());
                Ok(Progress::Running(self.child))
            }
            Ok(false) => Ok(Progress::Starting(self)),
            Err(error) => {
                self.child.wait()?;
                Err(not_running(init).unwrap_or(error))
            }
        }
    }
}

/// A pidfd becomes readable when its process has ended, reaped or not.
fn not_running(init: BorrowedFd<'_>) -> Option<Error> {
    let mut pidfd = [PollFd::new(&init, PollFlags::IN)];
    let ended = poll(&mut pidfd, Some(&Timespec::default())).is_ok_and(|count| count > 0);
    ended.then(|| Error::conflict("the container is not running"))
}

/// The life of the new process until its program runs; returns only on failure.
fn enter(init: BorrowedFd<'_>, process: &Process, stdio: Stdio, channel: &mut Newborn, cgroups: &[OwnedFd]) -> Error {
    match join(init, process, cgroups) {
        Err(error) => inside::report(channel, error),
        Ok(()) => inside::start_process(Start::exec(process), stdio, channel),
    }
}

fn join(init: BorrowedFd<'_>, process: &Process, cgroups: &[OwnedFd]) -> Result<()> {
    inside::shield()?;
    inside::set_while_on_host(process)?;
    for file in cgroups {
        cgroup::join_self(file)?;
    }
    let mut kinds = namespace::MOUNT | namespace::IPC | namespace::UTS | namespace::NETWORK | namespace::CGROUP;
    let pid = pid_behind(init).context("cannot find the container's first process")?;
    let other = |name: &str| {
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/{name}"));
        // A kernel without this kind has none to join.
        matches!((namespace(&pid), namespace("self")), (Ok(theirs), Ok(ours)) if theirs != ours)
    };
    let user = other("user");
    // The kernel refuses to join the user namespace that one is in already.
    kinds |= if user { namespace::USER } else { 0 } | if other("time") { namespace::TIME } else { 0 };
    join_namespaces(init, kinds).context("cannot join the container's namespaces")?;
    if user { become_root_of_namespace().context("cannot become root of the container") } else { Ok(()) }
}

/// The process id behind a pidfd, which the kernel tells in its fdinfo.
fn pid_behind(pidfd: BorrowedFd<'_>) -> io::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.map(|pid| pid.trim().to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
}
