//! Containers: from creation to removal.
//!
//! [`Containers`] is the door. Behind it each container has an [`owner`] task; [`directory`] finds them; [`record`] is
//! what was asked for and [`state`] where it is; [`create`] makes one; [`launch`] and [`teardown`] are the way into and
//! out of the kernel; [`view`] is what people see.

mod archive;
mod attach;
mod cdi;
mod commit;
mod copy_up;
mod create;
mod defaults;
mod directory;
mod exec;
mod files;
mod health;
mod host;
mod launch;
mod limits;
mod logging;
mod logs;
mod merge;
mod mounts;
mod networking;
mod owner;
mod publish;
mod record;
mod request;
mod resolv;
mod restart;
pub(crate) mod rows;
pub(crate) mod sandbox;
mod security;
mod signal;
mod snapshot;
mod spec;
mod state;
mod stats;
mod teardown;
mod top;
mod usage;
pub(crate) mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wharf_api::container::{PruneReport, UpdateRequest, UpdateResponse};
use wharf_api::filters::Filters;
use wharf_network::plan::{PortPlan, SandboxPlan};
use wharf_types::{Error, Id, Result};

use crate::config::Config;
use crate::detached as detach;
use crate::services::Services;
use exec::Execs;
use owner::Owner;

pub use archive::PutOptions;
pub use attach::{AttachOptions, Connection, Ticket};
pub(crate) use cdi::FOLDERS as CDI_FOLDERS;
pub use create::CreateOptions;
pub use defaults::DaemonDefaults;
pub use exec::ExecTicket;
pub use logs::{LogOptions, LogRecord, LogStream};
pub use record::Record;
pub use snapshot::Snapshot;
pub use state::State;
pub use view::ListOptions;

pub(crate) use directory::{Directory, Entry};
pub(crate) use health::starting as starting_health;
pub(crate) use networking::names_on;
pub(crate) use owner::{Live, connect_monitor};
pub(crate) use request::Request;
pub(crate) use teardown::{cut_off, find_exit, lost, sweep};
pub(crate) use view::parse_until;

/// How many wishes may wait for one owner.
const QUEUE: usize = 64;
/// How long a process may take to die of SIGKILL before the engine says that it does not.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a monitor may take to pass on a signal before it counts as stuck.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);
/// How long after a broken conversation the news of the end may take.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a start waits for clients that attached and whose connection has not arrived.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(2);
/// Seconds from the stop signal to SIGKILL unless asked otherwise.
const STOP_TIMEOUT: i64 = 10;
const SIGKILL: i32 = 9;

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// That it does not run, which may be so already.
    NotRunning,
    /// The end of the present or next run.
    NextExit,
    /// That it is gone.
    Removed,
}

/// How a removal goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes, too.
    pub volumes: bool,
}

/// All containers of an engine; clones share them.
#[derive(Clone)]
pub struct Containers {
    services: Services,
    directory: Directory,
    execs: Execs,
}

impl Containers {
    pub(crate) fn new(services: Services) -> Self {
        let directory = services.directory.clone();
        Self { services, directory, execs: Execs::default() }
    }

    /// Gives a container its owner and makes it visible.
    pub(crate) fn adopt(&self, snapshot: Snapshot, monitor: Option<Live>) -> Entry {
        let (id, name) = (snapshot.record.id, snapshot.record.name.clone());
        let (requests, queue) = mpsc::channel(QUEUE);
        let (sender, receiver) = watch::channel(snapshot);
        let execs = self.execs.clone();
        let on_exec_end = Arc::new(move |exec: &str, code: i32| execs.ended(exec, code));
        let owner = Owner::new(self.services.clone(), sender, queue, monitor, on_exec_end);
        let entry = Entry { id, requests, snapshot: receiver, promised: Arc::default() };
        self.directory.add(&name, entry.clone());
        tokio::spawn(owner.run());
        entry
    }

    /// What is known of a container.
    pub fn find(&self, name: &str) -> Result<Snapshot> {
        Ok(self.directory.find(name)?.now())
    }

    /// Starts a container.
    ///
    /// # Errors
    /// `NotModified` when it runs already; `CommandNotFound` and `CommandNotExecutable` from within.
    pub async fn start(&self, name: &str) -> Result<()> {
        let entry = self.directory.find(name)?;
        // A client that attached before must see the first byte; one that does not come is not waited for.
        drop(tokio::time::timeout(ATTACH_TIMEOUT, entry.promised.write()).await);
        entry.ask(Request::Start).await
    }

    /// Asks a container to end with `signal` (or its own stop signal), and kills it after `timeout` seconds (its own,
    /// or ten; negative waits for ever). Goes on even if the caller goes away.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let entry = self.directory.find(name)?;
        let snapshot = entry.now();
        if snapshot.state.is_restarting() {
            // Between two runs: the next one is called off.
            return pass_on(&entry, SIGKILL).await.map(drop);
        }
        if !snapshot.state.is_live() {
            return Err(Error::not_modified("the container is not running"));
        }
        let own_signal = Some(snapshot.record.config.stop_signal.as_str()).filter(|name| !name.is_empty());
        let signal = signal::parse(signal.or(own_signal).unwrap_or("SIGTERM"))?;
        let timeout = timeout.or(snapshot.record.config.stop_timeout).unwrap_or(STOP_TIMEOUT);
        let (events, config) = (self.services.events.clone(), Arc::clone(&self.services.config));
        detach(async move {
            let patience = u64::try_from(timeout).map_or(Duration::MAX, Duration::from_secs);
            if !pass_on(&entry, signal).await? || !ended_within(&entry, patience).await {
                kill_and_wait(&config, &entry).await?;
            }
            let record = &entry.now().record;
            events.publish("container", "stop", &record.id.to_string(), record.event_attributes());
            Ok(())
        })
        .await
    }

    /// Stops a container if it runs, and starts it.
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        match self.stop(name, signal, timeout).await {
            Err(error) if error.kind() == wharf_types::Kind::NotModified => {}
            other => other?,
        }
        self.start(name).await?;
        let record = self.find(name)?.record;
        self.services.events.publish("container", "restart", &record.id.to_string(), record.event_attributes());
        Ok(())
    }

    /// Sends a signal, SIGKILL if none is named; after SIGKILL it waits for the end, so that whoever starts the
    /// container next starts it and does not find it running still.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let entry = self.directory.find(name)?;
        let number = signal::parse(signal.filter(|name| !name.is_empty()).unwrap_or("SIGKILL"))?;
        if !entry.now().state.is_live() {
            return Err(Error::conflict(format!(
                "cannot kill container: {name}: container {} is not running",
                entry.id
            )));
        }
        if number == SIGKILL {
            let config = Arc::clone(&self.services.config);
            return detach(async move { kill_and_wait(&config, &entry).await }).await;
        }
        // A signal that ends the container is a wish that it stays down.
        let stop = number == signal::parse(&stop_signal_of(&entry))?;
        entry.ask(|reply| Request::Signal { signal: number, stop, reply }).await
    }

    /// Freezes a container's processes.
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.directory.find(name)?.ask(|reply| Request::Pause(true, reply)).await
    }

    /// Lets them run again.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        self.directory.find(name)?.ask(|reply| Request::Pause(false, reply)).await
    }

    /// Gives a container another name.
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        let entry = self.directory.find(name)?;
        let new = create::check_name(new)?;
        let old = entry.now().record.name.clone();
        if old == new {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        self.directory.hold_name(&new, entry.id)?;
        let renamed = new.clone();
        let edit = move |record: &Record| Ok(Record { name: renamed, ..record.clone() });
        let result = entry.ask(|reply| Request::Edit(Box::new(edit), reply)).await;
        self.directory.free_name(if result.is_ok() { &old } else { &new });
        result?;
        let record = entry.now().record;
        let names = |network: &crate::network::Network| names_on(&record, network);
        self.services.networks.rename(record.id, &record.name, &names)?;
        let attributes = record.event_attributes().into_iter().chain([("oldName".to_owned(), format!("/{old}"))]);
        self.services.events.publish("container", "rename", &record.id.to_string(), attributes);
        Ok(())
    }

    /// Changes limits and the restart policy.
    pub async fn update(&self, name: &str, mut request: UpdateRequest) -> Result<UpdateResponse> {
        let entry = self.directory.find(name)?;
        let warnings = host::check_update(&entry.now().record, &mut request)?;
        let changes = host::changed_limits(&request.resources)?;
        let ports = publish::PortChange::of(&request)?;
        if let Some(ports) = ports {
            entry.ask(|reply| Request::Ports(Box::new(ports), reply)).await?;
        }
        entry.ask(|reply| Request::Limit(Box::new(changes), reply)).await?;
        let edit = move |record: &Record| Ok(create::updated(record, &request));
        entry.ask(|reply| Request::Edit(Box::new(edit), reply)).await?;
        let record = entry.now().record;
        self.services.events.publish("container", "update", &record.id.to_string(), record.event_attributes());
        Ok(UpdateResponse { warnings: warnings.into() })
    }

    /// Sets the size of a container's terminal.
    pub async fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<()> {
        let size = (rows, columns);
        self.directory.find(name)?.ask(|reply| Request::Resize { exec: None, size, reply }).await
    }

    /// Removes a container.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` was not asked for.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        if let Some(id) = self.directory.damaged(name).filter(|_| options.force) {
            let (services, directory) = (self.services.clone(), self.directory.clone());
            return detach(async move {
                teardown::remove_damaged(&services, id).await?;
                directory.remove(id);
                Ok(())
            })
            .await;
        }
        let entry = self.directory.find(name)?;
        let (volumes, config) = (options.volumes, Arc::clone(&self.services.config));
        detach(async move {
            if options.force && entry.now().is_up() {
                kill_and_wait(&config, &entry).await?;
            }
            match entry.ask(|reply| Request::Remove { volumes, reply }).await {
                // `--rm` was faster.
                Err(error) if options.force && error.kind() == wharf_types::Kind::NotFound => Ok(()),
                other => other,
            }
        })
        .await
    }

    /// Begins to wait; the answer is a future of the exit code, so that the caller knows at once that the container
    /// exists and from when on exits count.
    pub fn wait(&self, name: &str, condition: Condition) -> Result<impl Future<Output = Result<i32>> + Send + use<>> {
        let entry = self.directory.find(name)?;
        let exits = entry.snapshot.borrow().exits;
        let mut snapshot = entry.snapshot;
        Ok(async move {
            let reached = |now: &Snapshot| match condition {
                Condition::Removed => matches!(now.state, State::Removed { .. }),
                Condition::NextExit => now.exits > exits || matches!(now.state, State::Removed { .. }),
                Condition::NotRunning => !now.is_up(),
            };
            let now = snapshot.wait_for(reached).await.map_err(|_| Error::unavailable("the engine is going down"))?;
            Ok(match &now.state {
                State::Removed { exit_code } => *exit_code,
                state => state.exited().map_or(0, |exited| exited.exit_code),
            })
        })
    }

    /// Removes all containers that do not run and satisfy the filters.
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport> {
        filters.check_names(&["label", "label!", "until"])?;
        let until = filters.values("until").map(parse_until).collect::<Result<Vec<_>>>()?;
        let mut report = PruneReport::default();
        for entry in self.directory.all() {
            let now = entry.now();
            let old_enough = until.iter().all(|limit| crate::time::unix(&now.record.created) < *limit);
            if now.is_up() || !old_enough || !filters.match_labels(&now.record.config.labels) {
                continue;
            }
            let size = self.written_by(entry.id).await.unwrap_or(0);
            if entry.ask(|reply| Request::Remove { volumes: false, reply }).await.is_ok() {
                report.containers_deleted.push(entry.id.to_string());
                report.space_reclaimed += size;
            }
        }
        let attributes = [("reclaimed".to_owned(), report.space_reclaimed.to_string())];
        self.services.events.publish("container", "prune", "", attributes);
        Ok(report)
    }

    /// Bytes that a container has written to its own layer.
    async fn written_by(&self, id: Id) -> Result<u64> {
        let images = self.services.images.clone();
        crate::blocking(move || Ok(images.snapshots().usage(&id)?.bytes)).await
    }

    /// How many containers there are in each state, by Docker's word.
    pub fn count(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.directory.all() {
            *counts.entry(entry.snapshot.borrow().state.word()).or_default() += 1;
        }
        counts
    }

    /// Starts what its restart policy wants to run when an engine starts.
    pub(crate) fn start_at_boot(&self) {
        for entry in self.directory.all() {
            let now = entry.now();
            if now.state.exited().is_none() {
                continue;
            }
            let always = matches!(now.record.restart_policy(), record::RestartPolicy::Always);
            // It ended while no engine ran, so nobody stopped it by hand; or it was to be started again then.
            let undecided = now.state.is_restarting() || now.exits > 0;
            tokio::spawn(async move {
                if undecided {
                    // An owner that is gone has been removed.
                    drop(entry.requests.send(Request::Reconsider).await);
                } else if always && let Err(error) = entry.ask(Request::Start).await {
                    tracing::warn!(container = %entry.id, error = %error.chain(), "not started again");
                }
            });
        }
    }

    /// The ports that containers which live have published.
    pub(crate) fn published_ports(&self) -> Vec<PortPlan> {
        let of = |entry: &Entry| match entry.snapshot.borrow().state.sandbox() {
            Some(SandboxPlan::Own { ports, .. }) => ports.clone(),
            _ => Vec::new(),
        };
        self.directory.all().iter().flat_map(of).collect()
    }

    /// Whether any container lives.
    pub(crate) fn any_live(&self) -> bool {
        self.directory.all().iter().any(|entry| entry.snapshot.borrow().state.is_live())
    }

    /// The containers that use an image.
    pub fn using_image(&self, image: &wharf_types::Digest) -> Vec<wharf_image::InUse> {
        let uses = |entry: &Entry| {
            let now = entry.snapshot.borrow();
            let in_use = wharf_image::InUse { container: entry.id, running: now.state.is_live() };
            (now.record.image == *image).then_some(in_use)
        };
        self.directory.all().iter().filter_map(uses).collect()
    }

    /// Whether a container that lives has this layer.
    pub fn is_layer_live(&self, diff_id: &wharf_types::Digest) -> bool {
        self.directory.all().iter().any(|entry| {
            let now = entry.snapshot.borrow();
            now.state.is_live() && now.record.all_diff_ids().contains(diff_id)
        })
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// `Conflict`, in Docker's words, when one does; `NotFound`.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        // Nobody creates a container meanwhile.
        let _alone = self.services.volumes.alone().await;
        let users = self.using_volume(name);
        if !users.is_empty() {
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            return Err(Error::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", ")))
                .with_hint("remove these containers first"));
        }
        self.services.volumes.remove(name).await
    }

    /// The containers that mount a volume.
    pub fn using_volume(&self, volume: &str) -> Vec<Id> {
        let uses = |entry: &&Entry| {
            let now = entry.snapshot.borrow();
            now.record.mounts.iter().any(|mount| mount.volume.as_deref() == Some(volume))
        };
        self.directory.all().iter().filter(uses).map(|entry| entry.id).collect()
    }
}

/// Has the monitor send a signal that is to end the container; whether it did so in good time.
async fn pass_on(entry: &Entry, signal: i32) -> Result<bool> {
    let asked = entry.ask(|reply| Request::Signal { signal, stop: true, reply });
    match tokio::time::timeout(MONITOR_PATIENCE, asked).await {
        Ok(Err(error)) if error.kind() == wharf_types::Kind::Unavailable => Ok(false),
        Ok(answer) => ignore_conflict(answer).map(|()| true),
        Err(_elapsed) => Ok(false),
    }
}

/// Kills a container and waits until nothing of it is left. A monitor that is stopped or stuck is killed with it.
async fn kill_and_wait(config: &Config, entry: &Entry) -> Result<()> {
    if !pass_on(entry, SIGKILL).await?
        && !ended_within(entry, LAST_WORDS).await
        && let Some(running) = entry.now().state.running()
    {
        tracing::warn!(container = %entry.id, "the monitor does not answer; killing it");
        teardown::kill_monitor_of(running.pid, &config.monitor_dir(entry.id));
    }
    if ended_within(entry, KILL_TIMEOUT).await {
        return Ok(());
    }
    Err(Error::unavailable(format!("container {} does not die of SIGKILL", entry.id.short()))
        .with_hint("a process of it hangs in the kernel, often on a network file system; 'wharf top' shows it"))
}

/// Waits until the container has ended and its network, ports and cgroup are free again.
async fn ended_within(entry: &Entry, patience: Duration) -> bool {
    let mut snapshot = entry.snapshot.clone();
    let is_down = |now: &Snapshot| !now.state.is_live() && now.settled || matches!(now.state, State::Removed { .. });
    let ended = snapshot.wait_for(is_down);
    match patience {
        Duration::MAX => ended.await.is_ok(),
        limit => tokio::time::timeout(limit, ended).await.is_ok(),
    }
}

/// A process that ended a moment ago needs no signal any more.
fn ignore_conflict(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if matches!(error.kind(), wharf_types::Kind::Conflict | wharf_types::Kind::NotFound) => Ok(()),
        other => other,
    }
}

fn stop_signal_of(entry: &Entry) -> String {
    match entry.now().record.config.stop_signal.as_str() {
        "" => "SIGTERM".to_owned(),
        own => own.to_owned(),
    }
}
