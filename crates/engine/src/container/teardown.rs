//! What happens after a container's end: finding out how it ended, and leaving nothing behind.

use std::path::Path;
use std::time::Duration;

use wharf_monitor::protocol::Exit;
use wharf_network::plan::SandboxPlan;
use wharf_runtime::cgroup::Group;
use wharf_types::{Error, Id, Result};

use super::record::Record;
use super::rows;
use crate::services::Services;

/// The exit record that the monitor left, if it could.
pub async fn find_exit(services: &Services, record: &Record) -> Option<Exit> {
    let dir = services.config.monitor_dir(record.id);
    let found = crate::blocking(move || wharf_monitor::read_exit(&dir)).await;
    found
        .inspect_err(|error| tracing::warn!(container = %record.id, error = %error.chain(), "exit record unreadable"))
        .ok()?
}

/// The end of a container whose monitor was killed: nobody knows how it ended.
pub fn lost() -> Exit {
    Exit {
        code: 255,
        oom_killed: false,
        finished_at: crate::time::now(),
        problems: vec!["its monitor ended unexpectedly, so the container was killed".to_owned()],
    }
}

/// The end of a container whose start was under way when the engine died: its program never ran, as far as is known.
pub fn cut_off() -> Exit {
    Exit { code: 128, problems: vec!["the engine ended while it started the container".to_owned()], ..lost() }
}

/// How often to look whether a monitor has ended.
const LOOK: Duration = Duration::from_millis(2);
/// How long a monitor may take to unmount: it writes a file system to disk.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until a monitor has ended, and with it every trace of its container's last run.
pub async fn await_monitor(pid: i32, run_dir: &Path) -> Result<()> {
    let ended = async {
        while is_monitor(pid, run_dir) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let in_time = tokio::time::timeout(UNMOUNT_TIMEOUT, ended).await;
    in_time.map_err(|_| {
        Error::unavailable("the container's last run is still being unmounted")
            .with_hint("its disk is slow or hangs; try again when it has recovered")
    })
}

/// Kills a monitor that does not end by itself; what it leaves has to be swept.
pub fn kill_monitor(pid: i32, run_dir: &Path) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    // The descriptor first: then the process that was looked at is the one that is killed.
    let Some(Ok(process)) = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    if is_monitor(pid, run_dir)
        && let Err(error) = pidfd_send_signal(&process, Signal::KILL)
    {
        tracing::warn!(pid, %error, "a stuck monitor could not be killed");
    }
}

/// Kills the monitor of the container whose first process is `first`: its parent.
pub fn kill_monitor_of(first: i32, run_dir: &Path) {
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).and_then(|pid| pid.trim().parse().ok());
    if let Some(parent) = parent {
        kill_monitor(parent, run_dir);
    }
}

/// Whether the process is the monitor of this folder, which stands among its arguments; not yet ended, not another
/// process with a recycled id.
fn is_monitor(pid: i32, run_dir: &Path) -> bool {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let wanted = run_dir.as_os_str().as_encoded_bytes();
    arguments.split(|byte| *byte == 0).any(|argument| argument == wanted)
}

/// Removes what a monitor that was killed left in the kernel: processes, cgroup, interfaces, port elements. Goes on
/// past errors; what is not there is no error.
pub async fn sweep(services: &Services, record: &Record, sandbox: Option<&SandboxPlan>) -> Vec<Error> {
    let cgroup = services.cgroup_of(record.cgroup_parent(), record.id);
    let sandbox = sandbox.cloned();
    let work = move || {
        let mut problems = Vec::new();
        problems.extend(remove_cgroup(&cgroup).err());
        if let Some(sandbox) = sandbox {
            problems.extend(wharf_network::sweep(&sandbox));
        }
        Ok(problems)
    };
    crate::blocking(work).await.unwrap_or_else(|error| vec![error])
}

fn remove_cgroup(path: &str) -> Result<()> {
    let group = Group::open(path)?;
    group.kill_all()?;
    group.remove()
}

/// Removes everything that belongs to a container that has ended. The row goes first: what is left of a container
/// without a row is removed by the next engine. One that goes by itself needs no order, for the next engine would
/// remove it anyway.
pub async fn remove(services: &Services, record: &Record, volumes: bool) -> Result<()> {
    let forgotten = rows::delete(&services.store, record.id);
    let pending = if record.auto_remove() {
        Some(forgotten)
    } else {
        forgotten.await?;
        None
    };
    if volumes {
        services.volumes.remove_anonymous(record, |volume| is_shared(services, record.id, volume)).await;
    }
    discard(services, record.id)?;
    if let Some(forgotten) = pending {
        forgotten.await?;
    }
    release(services, record.id);
    Ok(())
}

/// Whether another container mounts the volume, too (`--volumes-from`).
fn is_shared(services: &Services, container: Id, volume: &str) -> bool {
    let all = services.directory.all();
    all.iter().any(|entry| entry.id != container && entry.snapshot.borrow().record.volumes().any(|name| name == volume))
}

/// Removes a container whose row cannot be read; what still runs of it is killed. Its volumes stay, for nobody knows
/// which are its own.
pub async fn remove_damaged(services: &Services, id: Id) -> Result<()> {
    let cgroup = services.cgroup_of(None, id);
    crate::blocking(move || remove_cgroup(&cgroup)).await?;
    rows::delete(&services.store, id).await?;
    discard(services, id)?;
    release(services, id);
    Ok(())
}

/// Takes the folders of a container out of the way.
fn discard(services: &Services, id: Id) -> Result<()> {
    let run = services.config.monitor_dir(id);
    tokio::task::block_in_place(|| {
        if let Err(error) = std::fs::remove_dir_all(&run)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %run.display(), %error, "left behind; the next engine removes it");
        }
        services.images.snapshots().discard(&id)
    })
}

/// Gives back what a container held of its image.
fn release(services: &Services, id: Id) {
    services.images.empty_trash_later();
    services.images.drop_lease(id);
}
