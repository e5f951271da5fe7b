//! Execs: further processes in a running container.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use wharf_api::container::Ulimit;
use wharf_api::exec::{ExecConfig, ExecInspect, ExecStart, ProcessConfig};
use wharf_monitor::protocol::Streams;
use wharf_runtime::spec::Process;
use wharf_types::{Error, Id, Result};

use super::Containers;
use super::attach::{AttachOptions, Connection, streams};
use super::directory::Entry;
use super::record::Record;
use super::request::{ExecRequest, Request};
use super::security::Security;
use super::snapshot::Snapshot;
use super::spec;
use crate::names;

/// How many execs are remembered after their end.
const REMEMBERED: usize = 1024;
/// How long an inspect waits for the news of an end that the monitor has already seen.
const NEWS_TIMEOUT: Duration = Duration::from_secs(2);

/// All execs; clones share them.
#[derive(Clone, Default)]
pub struct Execs {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    known: HashMap<String, Arc<Exec>>,
    /// The ids of those that have ended, the oldest first.
    ended: VecDeque<String>,
}

impl Table {
    /// Takes note of an end and forgets the oldest ones.
    fn end(&mut self, id: &str) {
        self.ended.push_back(id.to_owned());
        while self.ended.len() > REMEMBERED {
            let oldest = self.ended.pop_front();
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
    }
}

/// One exec.
pub struct Exec {
    id: String,
    container: Id,
    config: ExecConfig,
    phase: watch::Sender<Phase>,
}

/// Where an exec is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Starting,
    Running { pid: i32 },
    Ended { pid: i32, code: i32 },
}

/// The right to start an exec: everything was checked, only the connection is missing.
pub struct ExecTicket {
    execs: Execs,
    exec: Arc<Exec>,
    entry: Entry,
    process: Process,
    streams: Option<Streams>,
    /// Whether it has a terminal, so that its stream is raw.
    pub tty: bool,
}

impl Execs {
    /// Takes note of an exec's end. One that this engine does not know belonged to an earlier engine's client.
    pub fn ended(&self, id: &str, code: i32) {
        let mut table = self.table();
        let Some(exec) = table.known.get(id) else { return };
        let is_news = exec.phase.send_if_modified(|phase| {
            let pid = if let Phase::Running { pid } = phase { *pid } else { 0 };
            let is_news = !matches!(phase, Phase::Ended { .. });
            if is_news {
                *phase = Phase::Ended { pid, code };
            }
            is_news
        });
        if is_news {
            table.end(id);
        }
    }

    fn find(&self, id: &str) -> Result<Arc<Exec>> {
        self.table().known.get(id).cloned().ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    fn add(&self, exec: Exec) {
        let mut table = self.table();
        if table.known.len() >= 4 * REMEMBERED {
            // Clients that create and never start must not fill the engine.
            table.known.retain(|_, exec| !matches!(*exec.phase.borrow(), Phase::Created));
        }
        table.known.insert(exec.id.clone(), Arc::new(exec));
    }

    /// The ids of a container's execs that have not ended.
    pub fn of(&self, container: Id) -> Vec<String> {
        let lives = |exec: &&Arc<Exec>| {
            exec.container == container && matches!(*exec.phase.borrow(), Phase::Starting | Phase::Running { .. })
        };
        self.table().known.values().filter(lives).map(|exec| exec.id.clone()).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Containers {
    /// Takes note of what shall be run; nothing runs yet.
    ///
    /// # Errors
    /// `Conflict` when the container does not run or is paused.
    pub fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String> {
        let entry = self.directory.find(name)?;
        if config.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        self.check_running(&entry)?;
        let id = names::fresh_id().to_string();
        let command = config.cmd.join(" ");
        self.execs.add(Exec { id: id.clone(), container: entry.id, config, phase: watch::Sender::new(Phase::Created) });
        let record = entry.now().record;
        let attributes = record.event_attributes().into_iter().chain([("execID".to_owned(), id.clone())]);
        self.services.events.publish(
            "container",
            &format!("exec_create: {command}"),
            &entry.id.to_string(),
            attributes,
        );
        Ok(id)
    }

    /// Prepares to start an exec.
    ///
    /// # Errors
    /// `Conflict` when it was started before or the container does not run.
    pub fn exec_start(&self, id: &str, start: &ExecStart) -> Result<ExecTicket> {
        let exec = self.execs.find(id)?;
        let entry = self.directory.find(&exec.container.to_string())?;
        self.check_running(&entry)?;
        let record = entry.now().record;
        let mut process = process(&record, &exec.config, &self.services.config.containers.ulimits)?;
        process.tty_size = start.console_size.or(exec.config.console_size).map(|[rows, columns]| (rows, columns));
        let tty = exec.config.tty;
        let options = AttachOptions {
            stdin: exec.config.attach_stdin,
            stdout: exec.config.attach_stdout,
            stderr: exec.config.attach_stderr,
            detach_keys: Some(exec.config.detach_keys.clone()).filter(|keys| !keys.is_empty()),
            raw: false,
        };
        let streams = if start.detach { None } else { Some(streams(&options, tty, true)?) };
        let claimed = exec.phase.send_if_modified(|phase| {
            let is_new = *phase == Phase::Created;
            if is_new {
                *phase = Phase::Starting;
            }
            is_new
        });
        if !claimed {
            return Err(Error::conflict(format!("exec {id} has been started already")));
        }
        Ok(ExecTicket { execs: self.execs.clone(), exec, entry, process, streams, tty })
    }

    /// What is known of an exec.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        let exec = self.execs.find(id)?;
        self.await_news(&exec).await;
        let phase = *exec.phase.borrow();
        let (config, (entrypoint, arguments)) = (&exec.config, split(&exec.config.cmd));
        Ok(ExecInspect {
            id: exec.id.clone(),
            running: matches!(phase, Phase::Starting | Phase::Running { .. }),
            exit_code: if let Phase::Ended { code, .. } = phase { Some(code.into()) } else { None },
            process_config: ProcessConfig {
                tty: config.tty,
                entrypoint,
                arguments,
                privileged: Some(config.privileged),
                user: config.user.clone(),
            },
            open_stdin: config.attach_stdin,
            open_stderr: config.attach_stderr,
            open_stdout: config.attach_stdout,
            can_remove: matches!(phase, Phase::Ended { .. }),
            container_id: exec.container.to_string(),
            detach_keys: Some(config.detach_keys.clone()),
            pid: match phase {
                Phase::Running { pid } | Phase::Ended { pid, .. } => pid.into(),
                _ => 0,
            },
        })
    }

    /// Sets the size of an exec's terminal.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let exec = self.execs.find(id)?;
        let entry = self.directory.find(&exec.container.to_string())?;
        let size = (rows, columns);
        entry.ask(|reply| Request::Resize { exec: Some(id.to_owned()), size, reply }).await
    }

    fn check_running(&self, entry: &Entry) -> Result<()> {
        let Snapshot { state, stuck, .. } = entry.now();
        if let Some(reason) = stuck {
            return Err(Error::unavailable(format!("container {} cannot be reached: {reason}", entry.id.short()))
                .with_hint("look for a process named wharf-monitor that is stopped"));
        }
        if state.is_restarting() {
            return Err(Error::conflict(format!(
                "Container {} is restarting, wait until the container is running",
                entry.id
            )));
        }
        match state.running() {
            None => Err(Error::conflict(format!("container {} is not running", entry.id))),
            Some(running) if running.paused => {
                Err(Error::conflict(format!("Container {} is paused, unpause the container before exec", entry.id)))
            }
            Some(_) => Ok(()),
        }
    }

    /// A client inspects an exec as soon as its stream has closed, perhaps before the engine has heard of the end, or
    /// even of the start: if the monitor no longer knows the process, the news is on its way.
    async fn await_news(&self, exec: &Exec) {
        let news = async {
            let mut phase = exec.phase.subscribe();
            // The sender is the exec itself, which outlives this.
            drop(phase.wait_for(|phase| *phase != Phase::Starting).await);
            if matches!(*phase.borrow(), Phase::Running { .. }) && !self.is_running(exec).await {
                drop(phase.wait_for(|phase| matches!(phase, Phase::Ended { .. })).await);
            }
        };
        // Without news it is shown as running, which is what the engine knows.
        drop(tokio::time::timeout(NEWS_TIMEOUT, news).await);
    }

    /// Whether the container's monitor still knows the process.
    async fn is_running(&self, exec: &Exec) -> bool {
        let Ok(entry) = self.directory.find(&exec.container.to_string()) else { return false };
        let running = entry.ask(Request::RunningExecs).await.unwrap_or_default();
        running.contains(&exec.id)
    }
}

impl ExecTicket {
    /// Starts the process with the client's connection.
    pub async fn connect(self, connection: Connection) -> Result<()> {
        let socket = connection.into_socket().await?;
        self.run(Some(socket)).await
    }

    /// Starts the process without a client.
    pub async fn detached(self) -> Result<()> {
        self.run(None).await
    }

    async fn run(self, socket: Option<OwnedFd>) -> Result<()> {
        let id = self.exec.id.clone();
        let client = socket.zip(self.streams);
        let process = self.process;
        let started = self.entry.ask(|reply| Request::Exec(Box::new(ExecRequest { id, process, client, reply }))).await;
        match &started {
            // The end may have been reported before the answer to the start.
            Ok(pid) => drop(self.exec.phase.send_if_modified(|phase| {
                let is_starting = *phase == Phase::Starting;
                if is_starting {
                    *phase = Phase::Running { pid: *pid };
                }
                is_starting
            })),
            Err(error) => self.execs.ended(&self.exec.id, i32::from(error.kind().start_exit_code())),
        }
        started.map(drop)
    }
}

/// The exec's process: the container's environment and security, with what the exec changes.
fn process(record: &Record, config: &ExecConfig, ulimits: &[Ulimit]) -> Result<Process> {
    let mut host = record.host_config.clone();
    host.privileged |= config.privileged;
    let security = Security::of(&host)?;
    let capabilities = spec::capabilities_of(&host)?;
    let mut env = spec::environment(record, &record.config.env, config.tty);
    spec::overlay_environment(&mut env, &config.env);
    let own_or = |own: &String, container: &String| if own.is_empty() { container.clone() } else { own.clone() };
    Ok(Process {
        argv: config.cmd.to_vec(),
        env,
        cwd: Some(own_or(&config.working_dir, &record.config.working_dir))
            .filter(|dir| !dir.is_empty())
            .unwrap_or("/".into()),
        user: own_or(&config.user, &record.config.user),
        additional_groups: host.group_add.to_vec(),
        tty: config.tty,
        seccomp: security.seccomp.precompiled(&capabilities)?,
        capabilities,
        no_new_privileges: security.no_new_privileges,
        rlimits: super::limits::rlimits(&host.resources, ulimits),
        apparmor_profile: security.apparmor,
        selinux_label: security.selinux,
        ..Process::default()
    })
}

/// The process of a health check: as an exec of the container's own user would be.
pub fn health_process(record: &Record, argv: Vec<String>) -> Result<Process> {
    process(record, &ExecConfig { cmd: argv.into(), ..ExecConfig::default() }, &[])
}

fn split(cmd: &[String]) -> (String, Vec<String>) {
    cmd.split_first().map_or_else(Default::default, |(first, rest)| (first.clone(), rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ends_are_forgotten_and_what_lives_is_not() {
        let execs = Execs::default();
        let container = names::fresh_id();
        let add = |id: String| {
            let phase = watch::Sender::new(Phase::Created);
            execs.add(Exec { id, container, config: ExecConfig::default(), phase });
        };
        add("alive".to_owned());
        for number in 0..=REMEMBERED {
            add(number.to_string());
            execs.ended(&number.to_string(), 0);
            execs.ended(&number.to_string(), 1);
        }
        assert!(execs.find("0").is_err());
        for id in ["alive", "1", "2", &REMEMBERED.to_string()] {
            assert!(execs.find(id).is_ok(), "{id}");
        }
    }
}
