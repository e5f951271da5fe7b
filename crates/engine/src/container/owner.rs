//! The owner of one container: a task that alone changes its state, fed by one queue.
//!
//! Readers look at the [`Snapshot`] that the owner publishes and never wait for it. Whoever wants a change sends a
//! [`Request`]; the owner handles one after the other and, in between, what the monitor reports. Waiting for a
//! container to end is not the owner's business: those who wait watch the snapshot.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use wharf_monitor::handle::{Events as MonitorEvents, Handle};
use wharf_monitor::protocol::{Event, Exit, Streams};
use wharf_network::plan::SandboxPlan;
use wharf_runtime::spec::{Process, Resources};
use wharf_types::{Error, Kind, Result};

use super::record::Record;
use super::restart::Restart;
use super::state::{Exited, Running, State};
use super::{launch, rows, teardown};
use crate::services::Services;
use crate::store::Durability;

/// What everyone may know about a container at any time, without asking its owner.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What was asked for; replaced as a whole by rename and update.
    pub record: Arc<Record>,
    /// Where it is in its life.
    pub state: State,
    /// How many runs have ended since the engine knows it; tells one exit from the next.
    pub exits: u64,
    /// How often the restart policy has started it again.
    pub restarts: u32,
    /// Whether the last run's network, cgroup and monitor are gone, so that nothing of it is left in the kernel.
    pub settled: bool,
}

/// A change that someone wants.
pub enum Request {
    /// Start it.
    Start(oneshot::Sender<Result<()>>),
    /// Send a signal to the first process. `stop` tells that the person wants it to end, so that no restart policy
    /// brings it back.
    Signal {
        /// Signal number.
        signal: i32,
        /// Whether this is to end the container.
        stop: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<()>>,
    },
    /// Freeze or thaw it.
    Pause(bool, oneshot::Sender<Result<()>>),
    /// Attach a client's connection; before the start it is kept until then.
    Attach(Streams, OwnedFd, oneshot::Sender<Result<()>>),
    /// Run a further process.
    Exec(Box<ExecRequest>),
    /// The ids of the execs that the monitor still knows as running.
    RunningExecs(oneshot::Sender<Result<Vec<String>>>),
    /// Set the terminal's size, of an exec or of the first process.
    Resize {
        /// An exec's id.
        exec: Option<String>,
        /// Height and width in characters.
        size: (u16, u16),
        /// Where the answer goes.
        reply: oneshot::Sender<Result<()>>,
    },
    /// Replace the record with the one that this makes of it.
    Edit(Edit, oneshot::Sender<Result<()>>),
    /// Change the limits of the cgroup, if there is one.
    Limit(Box<Resources>, oneshot::Sender<Result<()>>),
    /// Remove it; it must have ended.
    Remove {
        /// With its anonymous volumes.
        volumes: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<()>>,
    },
}

/// Makes the record that replaces the present one.
pub type Edit = Box<dyn FnOnce(&Record) -> Result<Record> + Send>;

/// A further process to run in the container.
pub struct ExecRequest {
    /// The exec's id.
    pub id: String,
    /// The process.
    pub process: Process,
    /// The client's streams and connection; `None` when detached.
    pub client: Option<(OwnedFd, Streams)>,
    /// Where the process id goes.
    pub reply: oneshot::Sender<Result<i32>>,
}

/// What an owner tells about execs; the exec registry listens.
pub type ExecEnded = Arc<dyn Fn(&str, i32) + Send + Sync>;

/// How often a start is tried with other ports, where the choice is the engine's.
const PORT_ATTEMPTS: usize = 3;
/// How long a monitor may take to clear the network and the cgroup after its container's end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The owner itself; see the module.
pub struct Owner {
    services: Services,
    snapshot: watch::Sender<Snapshot>,
    requests: mpsc::Receiver<Request>,
    run: Option<Run>,
    /// The last run's monitor, which may still be busy unmounting.
    last_monitor: Option<i32>,
    waiting_clients: Vec<(OwnedFd, Streams)>,
    restart: Restart,
    on_exec_end: ExecEnded,
}

/// One run of the container, from the plan to the last trace of it in the kernel.
struct Run {
    /// The connection to its monitor, until that closes.
    monitor: Option<Live>,
    /// What it holds on the network.
    sandbox: SandboxPlan,
    /// Whether the monitor reported the end and had nothing to complain about: it clears up by itself then.
    tidy: bool,
}

/// A connection to a monitor that runs.
pub struct Live {
    /// The monitor's process id.
    pub pid: i32,
    /// For requests.
    pub handle: Handle,
    /// What it reports; ends with the monitor.
    pub events: MonitorEvents,
}

impl Owner {
    /// An owner for the container of `snapshot`, with the monitor that was found alive, if one was.
    pub fn new(
        services: Services,
        snapshot: watch::Sender<Snapshot>,
        requests: mpsc::Receiver<Request>,
        monitor: Option<Live>,
        on_exec_end: ExecEnded,
    ) -> Self {
        let restart = Restart::new(&snapshot.borrow().record);
        let sandbox = snapshot.borrow().state.sandbox().cloned();
        let run = sandbox.map(|sandbox| Run { monitor, sandbox, tidy: false });
        Self {
            services,
            snapshot,
            requests,
            run,
            last_monitor: None,
            waiting_clients: Vec::new(),
            restart,
            on_exec_end,
        }
    }

    /// Serves the container until it is removed or the engine ends.
    pub async fn run(mut self) {
        while !self.is_removed() {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.handle(request).await,
                    None => break,
                },
                event = next_event(&mut self.run) => self.on_monitor(event).await,
                () = self.restart.due() => self.start_again().await,
            }
        }
    }

    async fn handle(&mut self, request: Request) {
        match request {
            Request::Start(reply) => answer(reply, self.start_by_hand().await),
            Request::Signal { signal, stop, reply } => answer(reply, self.signal(signal, stop).await),
            Request::Pause(paused, reply) => answer(reply, self.pause(paused).await),
            Request::Attach(streams, client, reply) => answer(reply, self.attach(streams, client).await),
            Request::Exec(exec) => self.exec(*exec).await,
            Request::RunningExecs(reply) => answer(reply, self.running_execs().await),
            Request::Resize { exec, size, reply } => answer(reply, self.resize(exec, size).await),
            Request::Edit(edit, reply) => answer(reply, self.edit(edit).await),
            Request::Limit(resources, reply) => answer(reply, self.limit(*resources).await),
            Request::Remove { volumes, reply } => answer(reply, self.remove(volumes).await),
        }
    }

    async fn start_by_hand(&mut self) -> Result<()> {
        if self.state().is_live() {
            return Err(Error::not_modified("the container is already running"));
        }
        self.restart.forgive();
        self.start().await
    }

    /// Waits out the last run's end, then makes a new monitor with a new sandbox.
    async fn start(&mut self) -> Result<()> {
        self.settle().await;
        if let Some(monitor) = self.last_monitor.take() {
            teardown::await_monitor(monitor, &self.services.config.monitor_dir(self.record().id)).await?;
        }
        match self.launch_with_free_ports().await {
            Ok(()) => {
                self.save_later();
                self.tell("start", []);
                Ok(())
            }
            Err(error) => {
                self.failed_to_start(&error).await?;
                Err(error)
            }
        }
    }

    /// A port that was left to the engine may be taken by a program of the host in the very moment: then another one.
    async fn launch_with_free_ports(&mut self) -> Result<()> {
        for _ in 0..PORT_ATTEMPTS {
            match self.launch().await {
                Err(error) if error.kind() == Kind::Conflict && self.record().has_dynamic_ports() => {
                    self.settle().await
                }
                other => return other.map_err(|error| launch::docker_wording(&self.record(), error)),
            }
        }
        self.launch().await
    }

    async fn launch(&mut self) -> Result<()> {
        let record = self.record();
        let sandbox = launch::plan(&self.services, &record).await?;
        self.run = Some(Run { monitor: None, sandbox: sandbox.clone(), tidy: false });
        self.publish(State::Starting { sandbox: sandbox.clone() }, |_| ());
        let intent = self.save_state(Durability::Crash);
        let clients = std::mem::take(&mut self.waiting_clients);
        let (live, pid, started_at) = launch::start(&self.services, &record, sandbox.clone(), clients, intent).await?;
        self.last_monitor = Some(live.pid);
        if let Some(run) = &mut self.run {
            run.monitor = Some(live);
        }
        let running = Running { pid, started_at, paused: false, sandbox };
        self.publish(State::Running(running), |snapshot| snapshot.settled = false);
        Ok(())
    }

    async fn failed_to_start(&mut self, error: &Error) -> Result<()> {
        let exited = Exited {
            exit_code: i32::from(exit_code_of_failed_start(error)),
            error: Some(error.chain()),
            ..Exited::default()
        };
        // The monitor undoes what it did before it answers; whatever it could not is swept with the run.
        self.waiting_clients.clear();
        self.settle().await;
        self.publish(State::Exited(exited), |snapshot| snapshot.exits += 1);
        self.save_state(Durability::Crash).await?;
        if self.record().auto_remove() { self.remove(true).await } else { Ok(()) }
    }

    async fn start_again(&mut self) {
        self.publish_with(|snapshot| snapshot.restarts += 1);
        if let Err(error) = self.start().await {
            tracing::warn!(container = %self.record().id, error = %error.chain(), "restart failed");
            self.restart.ended(self.state().exited().map_or(1, |exited| exited.exit_code));
        }
    }

    async fn signal(&mut self, signal: i32, stop: bool) -> Result<()> {
        if stop {
            self.restart.stopped_by_hand();
            self.plan_no_restart();
        }
        self.live()?.handle.signal(None, signal).await?;
        self.tell("kill", [("signal".to_owned(), signal.to_string())]);
        // A frozen process takes no signal; with version 1 of cgroups not even SIGKILL.
        if stop && self.running().is_ok_and(|running| running.paused) {
            self.pause(false).await?;
        }
        Ok(())
    }

    /// It was to start again, and someone wants it to stay down.
    fn plan_no_restart(&self) {
        if let State::Exited(exited) = self.state()
            && exited.again
        {
            self.publish(State::Exited(Exited { again: false, ..exited }), |_| ());
            self.save_later();
        }
    }

    async fn pause(&mut self, paused: bool) -> Result<()> {
        let record = self.record();
        let mut running = self.running()?.clone();
        if running.paused == paused {
            let word = if paused { "already paused" } else { "not paused" };
            return Err(Error::conflict(format!("Container {} is {word}", record.id)));
        }
        launch::freeze(&self.services, &record, paused).await?;
        running.paused = paused;
        self.enter(State::Running(running), Durability::Crash).await?;
        self.tell(if paused { "pause" } else { "unpause" }, []);
        Ok(())
    }

    async fn attach(&mut self, streams: Streams, client: OwnedFd) -> Result<()> {
        self.tell("attach", []);
        if let Ok(live) = self.live() {
            return live.handle.attach(client, streams).await;
        }
        self.waiting_clients.push((client, streams));
        Ok(())
    }

    async fn exec(&mut self, request: ExecRequest) {
        let ExecRequest { id, process, client, reply } = request;
        let started = match self.running_unpaused() {
            Ok(live) => live.handle.exec(&id, process, client).await.map(|started| started.pid),
            Err(error) => Err(error),
        };
        answer(reply, started);
    }

    async fn running_execs(&self) -> Result<Vec<String>> {
        let status = self.live()?.handle.status().await?;
        Ok(status.execs.into_iter().map(|(id, _)| id).collect())
    }

    async fn resize(&mut self, exec: Option<String>, (rows, columns): (u16, u16)) -> Result<()> {
        self.live()?.handle.resize(exec.as_deref(), rows, columns).await?;
        self.tell("resize", [("height".to_owned(), rows.to_string()), ("width".to_owned(), columns.to_string())]);
        Ok(())
    }

    async fn edit(&mut self, edit: Edit) -> Result<()> {
        let before = self.record();
        let after = Arc::new(edit(&before)?);
        self.publish_with(|snapshot| snapshot.record = Arc::clone(&after));
        if let Err(error) = self.save(Durability::Power).await {
            self.publish_with(|snapshot| snapshot.record = before);
            return Err(error);
        }
        self.restart.adopt(&after);
        Ok(())
    }

    async fn limit(&mut self, resources: Resources) -> Result<()> {
        if self.state().is_live() { launch::limit(&self.services, &self.record(), resources).await } else { Ok(()) }
    }

    async fn remove(&mut self, volumes: bool) -> Result<()> {
        let state = self.state();
        if state.is_live() {
            let (id, word) = (self.record().id, state.word());
            return Err(Error::conflict(format!(
                "cannot remove container \"{id}\": container is {word}: stop the container before removing or force remove"
            ))
            .with_hint("add -f to stop and remove it at once"));
        }
        self.settle().await;
        let exit_code = state.exited().map_or(0, |exited| exited.exit_code);
        teardown::remove(&self.services, &self.record(), volumes).await?;
        self.services.directory.remove(self.record().id);
        self.tell("destroy", []);
        self.publish(State::Removed { exit_code }, |_| ());
        Ok(())
    }

    async fn on_monitor(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Exited(exit)) => self.on_exit(&exit).await,
            Some(Event::ExecExited { id, code }) => (self.on_exec_end)(&id, code),
            Some(Event::Detached { .. }) => self.tell("detach", []),
            None => self.on_monitor_gone().await,
        }
    }

    async fn on_exit(&mut self, exit: &Exit) {
        let State::Running(running) = self.state() else { return };
        let mut attributes = vec![("exitCode".to_owned(), exit.code.to_string())];
        if let Ok(duration) = crate::time::between(&running.started_at, &exit.finished_at) {
            attributes.push(("execDuration".to_owned(), duration.as_secs().to_string()));
        }
        if exit.oom_killed {
            self.tell("oom", []);
        }
        if let Some(run) = &mut self.run {
            run.tidy = exit.problems.is_empty();
        }
        self.restart.ended(exit.code);
        let exited = Exited { again: self.restart.is_due(), ..running.exited(exit) };
        self.publish(State::Exited(exited), |snapshot| snapshot.exits += 1);
        self.tell("die", attributes);
        if self.record().auto_remove() && !self.restart.is_due() {
            self.remove_by_itself().await;
        } else {
            self.save_later();
        }
    }

    async fn remove_by_itself(&mut self) {
        if let Err(error) = self.remove(true).await {
            tracing::error!(container = %self.record().id, error = %error.chain(), "cannot remove the ended container");
        }
    }

    /// The connection closed: after an exit all is well, otherwise the monitor was killed.
    async fn on_monitor_gone(&mut self) {
        if let Some(run) = &mut self.run {
            run.monitor = None;
        }
        if self.state().is_live() {
            let record = self.record();
            tracing::error!(container = %record.id, "the monitor is gone; cleaning up behind it");
            self.sweep().await;
            self.on_exit(&teardown::lost()).await;
        } else {
            self.sweep().await;
        }
    }

    /// Waits until the last run's monitor has cleared the kernel of it; clears it ourselves if it does not.
    async fn settle(&mut self) {
        if let Some(mut live) = self.run.as_mut().and_then(|run| run.monitor.take()) {
            let on_exec_end = Arc::clone(&self.on_exec_end);
            let drain = async {
                while let Ok(Some(event)) = live.events.next().await {
                    if let Event::ExecExited { id, code } = event {
                        on_exec_end(&id, code);
                    }
                }
            };
            if tokio::time::timeout(SETTLE_TIMEOUT, drain).await.is_err() {
                tracing::warn!(container = %self.record().id, "the monitor does not end; killing it");
                teardown::kill_monitor(live.pid, &self.services.config.monitor_dir(self.record().id));
            }
        }
        self.sweep().await;
    }

    /// Makes sure that nothing of the last run is left, whoever took it down, and gives back what it held.
    async fn sweep(&mut self) {
        let Some(run) = self.run.take() else { return };
        let record = self.record();
        if !run.tidy {
            for problem in teardown::sweep(&self.services, &record, Some(&run.sandbox)).await {
                tracing::warn!(container = %record.id, problem = %problem.chain(), "left over after the container's end");
            }
        }
        self.services.networks.release(record.id);
        self.publish_with(|snapshot| snapshot.settled = true);
    }

    fn record(&self) -> Arc<Record> {
        Arc::clone(&self.snapshot.borrow().record)
    }

    fn state(&self) -> State {
        self.snapshot.borrow().state.clone()
    }

    fn is_removed(&self) -> bool {
        matches!(self.snapshot.borrow().state, State::Removed { .. })
    }

    fn live(&self) -> Result<&Live> {
        let not_running = || Error::conflict(format!("container {} is not running", self.record().id));
        if !self.state().is_live() {
            return Err(not_running());
        }
        self.run.as_ref().and_then(|run| run.monitor.as_ref()).ok_or_else(not_running)
    }

    fn running(&self) -> Result<Running> {
        let state = self.state();
        let not_running = || Error::conflict(format!("container {} is not running", self.record().id));
        state.running().cloned().ok_or_else(not_running)
    }

    fn running_unpaused(&self) -> Result<&Live> {
        if self.running()?.paused {
            let id = self.record().id;
            return Err(Error::conflict(format!("Container {id} is paused, unpause the container before exec")));
        }
        self.live()
    }

    /// Writes the state down, then shows it: for states that announce an effect.
    async fn enter(&mut self, state: State, durability: Durability) -> Result<()> {
        let before = self.state();
        self.publish(state, |_| ());
        let saved = self.save_state(durability).await;
        if saved.is_err() {
            self.publish(before, |_| ());
        }
        saved
    }

    fn publish(&self, state: State, also: impl FnOnce(&mut Snapshot)) {
        self.publish_with(|snapshot| {
            snapshot.state = state;
            also(snapshot);
        });
    }

    fn publish_with(&self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.send_modify(change);
    }

    fn save(&self, durability: Durability) -> impl Future<Output = Result<()>> + Send + use<> {
        rows::update(&self.services.store, &self.snapshot.borrow(), durability)
    }

    /// Writes the state alone; under way when this returns.
    fn save_state(&self, durability: Durability) -> impl Future<Output = Result<()>> + Send + use<> {
        rows::update_state(&self.services.store, &self.snapshot.borrow(), durability)
    }

    /// Saves a state that reports an effect: nobody needs to wait, since the monitor remembers it as well.
    fn save_later(&self) {
        let (written, container) = (self.save_state(Durability::Crash), self.record().id);
        tokio::spawn(async move {
            if let Err(error) = written.await {
                tracing::error!(%container, error = %error.chain(), "state not written");
            }
        });
    }

    fn tell(&self, action: &str, attributes: impl IntoIterator<Item = (String, String)>) {
        let record = self.record();
        let all = record.event_attributes().into_iter().chain(attributes);
        self.services.events.publish("container", action, &record.id.to_string(), all);
    }
}

/// 126 and 127 as a shell has them; 128 for what went wrong around the program, as Docker keeps it in the state.
fn exit_code_of_failed_start(error: &Error) -> u8 {
    match error.kind() {
        Kind::CommandNotFound | Kind::CommandNotExecutable => error.kind().start_exit_code(),
        _ => 128,
    }
}

/// The next event of the run's monitor; never, where there is none.
async fn next_event(run: &mut Option<Run>) -> Option<Event> {
    match run.as_mut().and_then(|run| run.monitor.as_mut()) {
        Some(live) => live.events.next().await.unwrap_or_else(|error| {
            tracing::error!(error = %error.chain(), "the connection to a monitor broke");
            None
        }),
        None => std::future::pending().await,
    }
}

/// Whoever asked may have gone away, which is no error.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}
