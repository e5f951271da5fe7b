//! The minimal init of `--init`: process 1 that forwards signals to the program and reaps what has lost its parent.

use std::io;

use rustix::process::{Pid, WaitOptions, wait};
use wharf_sys::process::{block_all_signals, close_from, exit_now, kill, wait_for_signal};

/// Before the program's process exists: from now on no signal is lost, and whatever loses its parent becomes this process's
/// child, also where it is not process 1 (`--pid host`).
pub(super) fn prepare() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    block_all_signals()
}

/// Waits for the program `pid` to end and ends with its exit code, 128 + signal if it was killed.
///
/// Holds no descriptor at all, so that it keeps neither a pipe nor a file of the host open.
pub(super) fn run(pid: i32) -> ! {
    let code = close_from(0).and_then(|()| serve(pid));
    exit_now(code.unwrap_or(255))
}

fn serve(pid: i32) -> io::Result<i32> {
    loop {
        let signal = wait_for_signal()?;
        if Some(signal) == Some(rustix::process::Signal::CHILD.as_raw()) {
            if let Some(code) = reap(pid)? {
                return Ok(code);
            }
        } else {
            // It may have ended just now, of which the next SIGCHLD tells.
            let _ended = kill(pid, signal);
        }
    }
}

/// Reaps all that have ended; the exit code if the program was among them.
fn reap(pid: i32) -> io::Result<Option<i32>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((ended, status))) => {
                if Pid::from_raw(pid) == Some(ended) {
                    code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                }
            }
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(code),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
