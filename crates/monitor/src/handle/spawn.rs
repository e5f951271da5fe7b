//! Starting a monitor.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use wharf_sys::spawn::{Spawn, spawn};
use wharf_sys::{memfd, packet};
use wharf_types::{Error, Result, ResultExt};

use super::connection::Connection;
use super::{Events, Handle, START_PATIENCE, Started, started};
use crate::NAME;
use crate::protocol::{MonitorSpec, Request, Streams};
use crate::readiness::watch;

/// A monitor that waits to be told what to start. Dropping it ends the process.
#[derive(Debug)]
pub struct Newborn {
    connection: Connection,
    pid: i32,
}

impl Newborn {
    /// Starts the monitor's process. `executable` is the binary (`wharf_sys::exe::self_exe_readonly`), whose `main` calls
    /// [`crate::main`] when argument 0 is [`NAME`]; `room` is a path as long as its folder's will be, so that the folder has
    /// room among the process's arguments, where people and the next engine find it.
    ///
    /// Once started the process outlives the engine; while the engine lives it is reaped.
    ///
    /// # Errors
    /// The executable cannot be run, or the host is out of processes or descriptors.
    pub fn spawn(executable: BorrowedFd<'_>, room: &Path) -> Result<Self> {
        let (ours, theirs) = packet::pair().context("cannot make a socket pair")?;
        let folder = CString::new(room.as_os_str().as_bytes())
            .map_err(|_| Error::invalid(format!("{} cannot be a folder's name", room.display())))?;
        let name = CString::new(NAME).map_err(std::io::Error::from)?;
        let request = Spawn {
            executable,
            arguments: &[name, folder],
            environment: &[],
            stderr: None,
            descriptors: &[theirs.as_fd()],
        };
        let (pid, pidfd) = spawn(&request).context("cannot start the container's monitor")?;
        reap(pidfd)?;
        Ok(Self { connection: Connection::new(ours)?, pid })
    }

    /// Has the network namespace made that most containers need, while there is time.
    pub fn prepare(&self) {
        // One that cannot be told will fail its start, which says why.
        let _ = self.connection.send_now(&Request::Prepare);
    }

    /// Whether the process is still there.
    pub fn is_alive(&self) -> bool {
        self.connection.is_open()
    }

    /// The monitor's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Starts the container, with the clients that attached before. The events begin with its start, none can be missed.
    /// `run_dir` is the monitor's folder, which exists and is empty.
    ///
    /// # Errors
    /// Whatever kept the container from starting; nothing of it is left then, and the monitor ends. `Unavailable` when the
    /// monitor does not answer in time.
    pub async fn start(
        mut self,
        run_dir: &Path,
        spec: &MonitorSpec,
        clients: Vec<(OwnedFd, Streams)>,
    ) -> Result<(Started, Handle, Events)> {
        let json = serde_json::to_vec(spec).map_err(std::io::Error::from).context("cannot encode the container")?;
        let file = memfd::sealed("wharf-container", &json).context("cannot make a memory file")?;
        let (sockets, attach): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
        let descriptors: Vec<_> = std::iter::once(&file).chain(&sockets).map(AsFd::as_fd).collect();
        let request = Request::Start { run_dir: run_dir.to_owned(), attach };
        let reply = self.connection.ask(&request, &descriptors, START_PATIENCE).await?;
        let started = started(reply.into_result()?)?;
        // The monitor may be gone already if the container was quick; then its record tells the rest.
        let _ = self.connection.send(&Request::Subscribe, &[]).await;
        let events = Events::new(self.connection, run_dir, Vec::new());
        Ok((started, Handle::new(run_dir), events))
    }
}

/// Takes the monitor's exit status when it ends, so that it does not stay as a zombie.
fn reap(pidfd: OwnedFd) -> Result<()> {
    let pidfd = watch(pidfd, Interest::READABLE).context("cannot wait for the monitor")?;
    tokio::spawn(async move {
        // An error of the runtime can only mean that it is shutting down, and the engine with it.
        if pidfd.readable().await.is_ok() {
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    });
    Ok(())
}
