//! A process that this one started, held by a pidfd so that its number can never be mistaken.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus};
use wharf_types::{Error, Result, ResultExt};

/// A child process of the caller: a container's init or an exec.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
}

impl Child {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, terminal: None }
    }

    pub(crate) fn set_terminal(&mut self, master: Option<OwnedFd>) {
        self.terminal = master;
    }

    /// The master side of the process's terminal, if it was started with [`crate::Stdio::Terminal`]; once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Process id in the caller's PID namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable (poll, epoll) once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits until the process has ended and reaps it. The exit code, or 128 + signal for a process that was killed.
    pub fn wait(&self) -> Result<i32> {
        loop {
            if let Some(code) = self.reap(WaitIdOptions::EXITED)? {
                return Ok(code);
            }
        }
    }

    /// As [`Child::wait`], but `None` at once while the process runs.
    pub fn try_wait(&self) -> Result<Option<i32>> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn reap(&self, options: WaitIdOptions) -> Result<Option<i32>> {
        let status = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(self.pidfd()), options));
        let status = status.map_err(std::io::Error::from).context("cannot wait for the process")?;
        Ok(status.map(|status| exit_code(&status)))
    }

    /// Sends a signal. A process that has ended meanwhile is a conflict, not a failure of the system.
    pub fn kill(&self, signal: i32) -> Result<()> {
        match wharf_sys::process::send_signal(&self.pidfd, signal) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Err(Error::conflict("the process has ended"))
            }
            other => other.with_context(|| format!("cannot send signal {signal}")),
        }
    }
}

fn exit_code(status: &WaitIdStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255)
}
