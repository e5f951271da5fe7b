//! What can be done to a container.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::config::{self, Config};
use super::convert::{self, Around};
use super::state::{Record, Status, Store, start_of};
use super::{hooks, process};
use crate::spec::{ContainerSpec, Hook};
use crate::{Init, Pauses, Starting, Stdio, open_gate};

/// SIGKILL.
const KILL: i32 = 9;

/// How a container is to be made.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Its id.
    pub id: String,
    /// The bundle.
    pub bundle: PathBuf,
    /// `cgroupsPath` is of systemd's form.
    pub systemd_cgroup: bool,
    /// Change the root by chroot.
    pub no_pivot: bool,
    /// Keep the caller's session key ring.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on the process gets.
    pub kept_descriptors: u32,
    /// Its first process waits for [`start`]; otherwise its program runs at once.
    pub wait: bool,
}

/// A container that was made.
#[derive(Debug)]
pub struct Created {
    /// Its first process, a child of the caller for as long as that lives; its terminal, if it has one.
    pub init: Init,
    /// What is remembered of it.
    pub record: Record,
}

/// Makes a container from a bundle.
///
/// `stdio` tells its standard streams, given whether it is to have a terminal.
///
/// # Errors
/// `InvalidParameter` for a bundle that makes no sense, `Conflict` for an id that is in use. Nothing is left then.
pub fn create(store: &Store, manner: &Manner, stdio: impl FnOnce(bool) -> Result<Stdio>) -> Result<Created> {
    let bundle = std::fs::canonicalize(&manner.bundle)
        .with_context(|| format!("cannot find the bundle {}", manner.bundle.display()))?;
    let config = read_config(&bundle)?;
    let spec = convert::container(&config, &around(manner, &bundle))?;
    let record = Record {
        id: manner.id.clone(),
        bundle,
        created: format!("{:.9}", jiff::Timestamp::now()),
        cgroup: spec.cgroup.path.clone(),
        systemd_cgroup: manner.systemd_cgroup,
        config,
        ..Record::default()
    };
    let stdio = stdio(spec.process.tty)?;
    let mut container = store.make(record)?;
    match begin(&mut container, &spec, stdio, manner.wait) {
        Ok(init) => Ok(Created { init, record: container.record.clone() }),
        Err(error) => Err(match container.forget() {
            Ok(()) => error,
            Err(left) => error.with_hint(left.chain()),
        }),
    }
}

fn around<'a>(manner: &'a Manner, bundle: &'a Path) -> Around<'a> {
    Around {
        id: &manner.id,
        bundle,
        systemd_cgroup: manner.systemd_cgroup,
        no_pivot: manner.no_pivot,
        no_new_keyring: manner.no_new_keyring,
        kept_descriptors: manner.kept_descriptors,
    }
}

fn read_config(bundle: &Path) -> Result<Config> {
    let path = bundle.join("config.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::invalid(format!("{} is not a configuration", path.display())).caused_by(error))
}

fn begin(container: &mut super::Container, spec: &ContainerSpec, stdio: Stdio, wait: bool) -> Result<Init> {
    let wanted = container.record.config.hooks.clone().unwrap_or_default();
    let early = [wanted.prestart.as_slice(), &wanted.create_runtime].concat();
    let mounted = !early.is_empty() || !wanted.create_container.is_empty();
    // Hooks that run just before the program are told the state as it is then, which is what the gate is good for.
    let by_gate = wait || !wanted.start_container.is_empty();
    let gate = by_gate.then(|| container.make_gate()).transpose()?;
    let mut starting = Starting::begin_with(spec, stdio, Pauses { mounted, gate })?;
    container.record.pid = starting.pid();
    container.record.started = start_of(starting.pid()).unwrap_or(0);
    if mounted {
        starting.until_mounted()?;
        let state = container.record.state(Status::Creating).to_string();
        run_hooks(&early, &state)?;
        starting.go_on(&state)?;
    }
    container.save()?;
    let init = if by_gate { starting.leave_at_gate()? } else { starting.release()? };
    if wait {
        return Ok(init);
    }
    let opened = if by_gate { let_run(container, spec) } else { Ok(()) };
    let state = container.record.state(Status::Running).to_string();
    match opened.and_then(|()| run_hooks(&wanted.poststart, &state)) {
        Ok(()) => Ok(init),
        Err(error) => {
            // As if it had never started.
            let _killed = init.child.kill(KILL);
            let _reaped = init.child.wait();
            let _removed = init.cgroup.remove();
            Err(error)
        }
    }
}

/// Opens the gate.
fn let_run(container: &super::Container, spec: &ContainerSpec) -> Result<()> {
    let record = &container.record;
    let state = record.state(Status::Created).to_string();
    open_gate(container.reach_gate()?, spec, record.pid, &state)?;
    container.forget_gate();
    Ok(())
}

fn run_hooks(hooks: &[Hook], state: &str) -> Result<()> {
    hooks.iter().try_for_each(|hook| hooks::run(hook, state))
}

/// Lets the program of a created container run.
///
/// # Errors
/// `Conflict` when it runs or has ended; whatever keeps the program from running.
pub fn start(store: &Store, id: &str) -> Result<()> {
    let container = store.open(id)?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::conflict("cannot start a container that has stopped")),
        _ => return Err(Error::conflict("cannot start an already running container")),
    }
    let record = &container.record;
    let manner = Manner { id: id.to_owned(), systemd_cgroup: record.systemd_cgroup, ..Manner::default() };
    let spec = convert::container(&record.config, &around(&manner, &record.bundle))?;
    let_run(&container, &spec)?;
    let hooks = record.config.hooks.clone().unwrap_or_default();
    run_hooks(&hooks.poststart, &record.state(Status::Running).to_string())
}

/// Sends a signal to a container's first process, or to all its processes.
///
/// # Errors
/// `Conflict` when it does not run.
pub fn kill(store: &Store, id: &str, signal: i32, all: bool) -> Result<()> {
    let container = store.open(id)?;
    let status = container.status();
    if all {
        for pid in container.group()?.pids()? {
            // It may have ended since.
            let _gone = wharf_sys::process::kill(pid, signal);
        }
    } else {
        if status == Status::Stopped {
            return Err(Error::conflict("container not running"));
        }
        wharf_sys::process::send_signal(container.pidfd()?, signal)
            .with_context(|| format!("cannot send signal {signal}"))?;
        if signal == KILL && !has_own_pids(&container.record.config) {
            container.group()?.kill_all()?;
        }
    }
    // A frozen process dies only when it is thawed (version 1).
    if signal == KILL && status == Status::Paused { container.group()?.thaw() } else { Ok(()) }
}

fn has_own_pids(config: &Config) -> bool {
    config
        .linux
        .iter()
        .flat_map(|linux| &linux.namespaces)
        .any(|namespace| namespace.kind == "pid" && namespace.path.is_none())
}

/// Removes a container that has ended; with `force` any.
///
/// # Errors
/// `Conflict` for one that runs.
pub fn delete(store: &Store, id: &str, force: bool) -> Result<()> {
    let container = match store.open(id) {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    match container.status() {
        Status::Stopped => {}
        // Nothing of the person's runs in it yet.
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => {
            return Err(Error::conflict(format!(
                "cannot delete container {id} that is not stopped: {}",
                status.as_str()
            )));
        }
    }
    let record = container.record.clone();
    if !record.cgroup.is_empty() {
        let group = container.group()?;
        // Processes of a PID namespace end with its first; those of a shared one do not.
        if group.remove().is_err() {
            group.kill_all()?;
            group.remove()?;
        }
    }
    container.forget()?;
    let hooks = record.config.hooks.clone().unwrap_or_default();
    // The container is gone in any case; what a hook says about that is for the log of whoever called.
    run_hooks(&hooks.poststop, &record.state(Status::Stopped).to_string())
}

/// Kills the first process and waits until it is dead.
fn end(container: &super::Container) -> Result<()> {
    let Ok(pidfd) = container.pidfd() else { return Ok(()) };
    match wharf_sys::process::send_signal(&pidfd, KILL) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Ok(()),
        other => other.context("cannot kill the container")?,
    }
    if container.status() == Status::Paused {
        container.group()?.thaw()?;
    }
    let patience = Timespec { tv_sec: Duration::from_secs(10).as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience));
    match ready.map_err(std::io::Error::from).context("cannot wait for the container's end")? {
        0 => Err(Error::unavailable("the container's first process does not end")),
        _ => Ok(()),
    }
}

/// A further process, as the command line names it.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// The whole process; the rest below changes it.
    pub process: Option<config::Process>,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Working folder.
    pub cwd: Option<String>,
    /// `NAME=value`, added.
    pub env: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// `uid[:gid]`.
    pub user: Option<(u32, u32)>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// Capabilities that it has beside the container's.
    pub capabilities: Vec<String>,
    /// No new privileges.
    pub no_new_privileges: bool,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// SELinux label.
    pub label: Option<String>,
    /// How many descriptors from 3 on it gets.
    pub kept_descriptors: u32,
    /// Also into a container that is frozen.
    pub ignore_paused: bool,
}

impl ExecRequest {
    /// What the request comes to for a container.
    fn process(&self, config: &Config) -> Result<config::Process> {
        if let Some(process) = &self.process {
            return Ok(process.clone());
        }
        let first = config.process.clone().ok_or_else(|| Error::invalid("the container has no process"))?;
        let mut process = config::Process { terminal: self.tty, args: self.args.clone(), console_size: None, ..first };
        process.env.extend(self.env.iter().cloned());
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        if let Some((uid, gid)) = self.user {
            process.user = config::User { uid, gid, umask: process.user.umask, ..config::User::default() };
        }
        process.user.additional_gids.extend(&self.additional_gids);
        process.no_new_privileges |= self.no_new_privileges;
        process.apparmor_profile = self.apparmor.clone().unwrap_or(process.apparmor_profile);
        process.selinux_label = self.label.clone().unwrap_or(process.selinux_label);
        if !self.capabilities.is_empty() {
            let sets = process.capabilities.get_or_insert_default();
            for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                set.extend(self.capabilities.iter().cloned());
            }
        }
        Ok(process)
    }
}

/// Runs a further process in a container.
///
/// # Errors
/// `Conflict` when the container does not run or is frozen; whatever keeps the program from running.
pub fn exec(
    store: &Store,
    id: &str,
    request: &ExecRequest,
    stdio: impl FnOnce(bool) -> Result<Stdio>,
) -> Result<crate::Child> {
    let container = store.open(id)?;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if request.ignore_paused => {}
        Status::Paused => return Err(Error::conflict("cannot exec in a paused container")),
        _ => return Err(Error::conflict("cannot exec in a stopped container")),
    }
    let config = &container.record.config;
    let linux = config.linux.clone().unwrap_or_default();
    let mut process = process::process(&request.process(config)?, linux.seccomp.as_ref())?;
    process.personality = linux.personality.as_ref().map(process::personality).transpose()?;
    process.kept_descriptors = request.kept_descriptors;
    let pidfd: OwnedFd = container.pidfd()?;
    let group = container.group()?;
    let stdio = stdio(process.tty)?;
    // What the container does meanwhile need not wait for this process's program.
    drop(container);
    crate::exec::spawn(pidfd.as_fd(), &process, stdio, &group)
}
