//! The owner of one container: a task that alone changes its state, fed by one queue.
//!
//! Readers look at the [`Snapshot`] that the owner publishes and never wait for it. Whoever wants a change sends a
//! [`Request`]; the owner handles one after the other and, in between, what the monitor reports. Waiting for a
//! container to end is not the owner's business: those who wait watch the snapshot.

mod ending;
mod stuck;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use wharf_api::network::EndpointSettings;
use wharf_monitor::handle::{Events as MonitorEvents, Handle};
use wharf_monitor::protocol::{Event, Streams};
use wharf_network::plan::{EndpointPlan, PortPlan, SandboxPlan};
use wharf_runtime::spec::Resources;
use wharf_types::{Error, Kind, Result};

use super::publish::{self, PortChange};
use super::record::Record;
use super::request::{Edit, ExecRequest, Request};
use super::restart::Restart;
use super::snapshot::Snapshot;
use super::state::{Exited, Running, State};
use super::{MONITOR_PATIENCE, SIGKILL, files, health, launch, networking, rows, teardown};
use crate::network::{Network, Wanted};
use crate::services::Services;
use crate::store::Durability;

pub use stuck::connect as connect_monitor;

/// What an owner tells about execs; the exec registry listens.
pub type ExecEnded = Arc<dyn Fn(&str, i32) + Send + Sync>;

/// How often a start is tried with other ports, where the choice is the engine's.
const PORT_ATTEMPTS: usize = 3;

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
    /// It became unhealthy and was asked to end, in order to start again; when to kill it if it does not.
    replacing: Option<Option<Instant>>,
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
    /// How often the firewall had been restored when it began.
    restored: u64,
}

/// A connection to a monitor that runs.
pub struct Live {
    /// The monitor's process id.
    pub pid: i32,
    /// For requests.
    pub handle: Arc<Handle>,
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
        let restart = Restart::new(&snapshot.borrow().record, snapshot.borrow().restarts);
        let sandbox = snapshot.borrow().state.sandbox().cloned();
        let restored = services.networks.restored();
        let run = sandbox.map(|sandbox| Run { monitor, sandbox, tidy: false, restored });
        Self {
            services,
            snapshot,
            requests,
            last_monitor: run.as_ref().and_then(|run| run.monitor.as_ref()).map(|live| live.pid),
            run,
            waiting_clients: Vec::new(),
            restart,
            replacing: None,
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
                () = until(self.replacing) => self.kill_unhealthy().await,
                found = stuck::monitor_back(&self.services, &self.snapshot) => self.on_found(found).await,
            }
        }
    }

    async fn handle(&mut self, request: Request) {
        match request {
            Request::Start(reply) => answer(reply, self.start_by_hand().await),
            Request::Reconsider => self.reconsider(),
            Request::Signal { signal, stop, reply } => answer(reply, self.signal(signal, stop).await),
            Request::Pause(paused, reply) => answer(reply, self.pause(paused).await),
            Request::Attach(streams, client, reply) => answer(reply, self.attach(streams, client).await),
            Request::Exec(exec) => self.exec(*exec),
            Request::RunningExecs(reply) => self.running_execs(reply),
            Request::Resize { exec, size, reply } => answer(reply, self.resize(exec, size).await),
            Request::Edit(edit, reply) => answer(reply, self.edit(edit).await),
            Request::Limit(resources, reply) => answer(reply, self.limit(*resources).await),
            Request::Ports(change, reply) => answer(reply, self.change_ports(&change).await),
            Request::Connect(wanted, reply) => answer(reply, self.connect(*wanted).await),
            Request::Disconnect(network, reply) => answer(reply, self.disconnect(&network).await),
            Request::Remove { volumes, reply } => answer(reply, self.remove(volumes).await),
        }
    }

    async fn start_by_hand(&mut self) -> Result<()> {
        if self.state().is_live() {
            return Err(Error::not_modified("the container is already running"));
        }
        self.restart.forgive();
        self.publish_with(|snapshot| snapshot.restarts = 0);
        self.start().await
    }

    /// What ended while no engine ran starts again if its policy wants that.
    fn reconsider(&mut self) {
        if let State::Exited(exited) = self.state() {
            self.restart.ended(exited.exit_code, exited.again);
            self.publish(State::Exited(Exited { again: self.restart.is_due(), ..exited }), |_| ());
            self.save_later();
        }
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
        let restored = self.services.networks.restored();
        self.run = Some(Run { monitor: None, sandbox: sandbox.clone(), tidy: false, restored });
        self.publish(State::Starting { sandbox: sandbox.clone() }, |_| ());
        let intent = self.save_state(Durability::Crash);
        let clients = std::mem::take(&mut self.waiting_clients);
        let (live, pid, started_at) = launch::start(&self.services, &record, sandbox.clone(), clients, intent).await?;
        self.last_monitor = Some(live.pid);
        if let Some(run) = &mut self.run {
            run.monitor = Some(live);
        }
        let running = Running { pid, started_at, paused: false, sandbox };
        let health = record.has_health_check().then(|| Arc::new(health::starting()));
        self.publish(State::Running(running), |snapshot| (snapshot.settled, snapshot.health) = (false, health));
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
            self.restart.ended(self.state().exited().map_or(1, |exited| exited.exit_code), false);
            if let State::Exited(exited) = self.state() {
                self.publish(State::Exited(Exited { again: self.restart.is_due(), ..exited }), |_| ());
                self.save_later();
            }
        }
    }

    async fn signal(&mut self, signal: i32, stop: bool) -> Result<()> {
        if stop {
            self.restart.stopped_by_hand();
            self.plan_no_restart();
        }
        self.send_signal(signal).await?;
        self.tell("kill", [("signal".to_owned(), signal.to_string())]);
        // A frozen process takes no signal; with version 1 of cgroups not even SIGKILL. It may be frozen by another hand.
        match self.running() {
            Ok(running) if stop && running.paused => self.pause(false).await,
            Ok(_) if signal == SIGKILL && launch::is_frozen(&self.services, &self.record()).await? => {
                launch::freeze(&self.services, &self.record(), false).await
            }
            _ => Ok(()),
        }
    }

    /// A monitor that is stopped must not hold up the queue for long.
    async fn send_signal(&self, signal: i32) -> Result<()> {
        let handle = Arc::clone(&self.live()?.handle);
        let sent = tokio::time::timeout(MONITOR_PATIENCE, handle.signal(None, signal)).await;
        sent.unwrap_or_else(|_| Err(Error::unavailable("the container's monitor does not answer")))
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
        let frozen = self.live()?.handle.freeze(paused).await;
        match frozen {
            // A monitor of an older version.
            Err(error) if error.kind() == Kind::NotImplemented => {
                launch::freeze(&self.services, &record, paused).await?;
            }
            other => other?,
        }
        running.paused = paused;
        self.enter(State::Running(running), Durability::Crash).await?;
        self.tell(if paused { "pause" } else { "unpause" }, []);
        Ok(())
    }

    async fn attach(&mut self, streams: Streams, client: OwnedFd) -> Result<()> {
        if let Ok(live) = self.live() {
            live.handle.attach(client, streams).await?;
            self.tell("attach", []);
            return Ok(());
        }
        if self.state().is_live() {
            return Err(self.not_answering());
        }
        self.waiting_clients.push((client, streams));
        self.tell("attach", []);
        Ok(())
    }

    /// Goes on beside the queue: what a process needs to start, and a monitor that does not answer, hold up nobody else.
    fn exec(&mut self, request: ExecRequest) {
        let ExecRequest { id, process, client, reply } = request;
        match self.running_unpaused() {
            Ok(live) => {
                let handle = Arc::clone(&live.handle);
                tokio::spawn(async move {
                    let started = handle.exec(&id, process, client).await;
                    answer(reply, started.map(|started| started.pid));
                });
            }
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn running_execs(&self, reply: oneshot::Sender<Result<Vec<String>>>) {
        match self.live() {
            Ok(live) => {
                let handle = Arc::clone(&live.handle);
                tokio::spawn(async move {
                    let status = handle.status().await;
                    answer(reply, status.map(|status| status.execs.into_iter().map(|(id, _)| id).collect()));
                });
            }
            Err(error) => answer(reply, Err(error)),
        }
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

    async fn connect(&mut self, (mut wanted, settings): (Wanted, EndpointSettings)) -> Result<()> {
        let before = self.record();
        let after = networking::connected(&before, &wanted, settings)?;
        wanted.names = networking::names_on(&after, &wanted.network);
        let Some(running) = self.state().running().cloned() else { return self.edit(Box::new(|_| Ok(after))).await };
        let networks = self.services.networks.clone();
        let present = running.sandbox.endpoints();
        let names: Vec<String> = present.iter().map(|endpoint| endpoint.container_name.clone()).collect();
        let position = networking::position(&networks, &before, present, &wanted);
        let endpoint = networks.attach(before.id, &wanted, &names).await?;
        let change = Change::Connect(endpoint.clone(), position);
        let changed = match networking::with_endpoint(&running.sandbox, endpoint, position) {
            Ok(sandbox) => self.change_network(after, Running { sandbox, ..running }, change).await,
            Err(error) => Err(error),
        };
        match changed {
            Ok(()) => networks.tell_of(before.id, "connect", [wanted.network.id]),
            Err(_) => networks.detach(before.id, wanted.network.id),
        }
        changed
    }

    async fn disconnect(&mut self, network: &Network) -> Result<()> {
        let before = self.record();
        let after = networking::disconnected(&before, network)?;
        let Some(running) = self.state().running().cloned() else { return self.edit(Box::new(|_| Ok(after))).await };
        let (sandbox, endpoint) = networking::without_endpoint(&running.sandbox, network.id);
        let Some(endpoint) = endpoint else { return self.edit(Box::new(|_| Ok(after))).await };
        self.change_network(after, Running { sandbox, ..running }, Change::Disconnect(endpoint)).await?;
        self.services.networks.detach(before.id, network.id);
        self.services.networks.tell_of(before.id, "disconnect", [network.id]);
        Ok(())
    }

    async fn change_ports(&mut self, change: &PortChange) -> Result<()> {
        let before = self.record();
        let running = self.state().running().cloned();
        let plan = running.as_ref().map_or(SandboxPlan::Host, |running| running.sandbox.clone());
        let published = if let SandboxPlan::Own { ports, .. } = &plan { ports.as_slice() } else { &[] };
        let after = change.apply(&before, published)?;
        let Some(running) = running else { return self.edit(Box::new(|_| Ok(after))).await };
        let networks = self.services.networks.clone();
        let gone = change.gone(&plan);
        let new = networks.exchange_ports(before.id, plan.endpoints(), &gone, &change.wanted)?;
        let sandbox = publish::with_ports(&plan, &gone, &new);
        let order = Change::Ports(new.clone(), gone.clone());
        let changed = self.change_network(after, Running { sandbox, ..running }, order).await;
        if changed.is_err() {
            networks.exchange_ports_back(before.id, &gone, &new);
        }
        changed
    }

    /// Writes down what is to be, has the monitor do it, and takes it back if that fails.
    async fn change_network(&mut self, record: Record, running: Running, change: Change) -> Result<()> {
        let (record_before, state_before) = (self.record(), self.state());
        let dir = self.services.config.container_dir(record_before.id);
        self.set_network(Arc::new(record), State::Running(running));
        let changed = match self.save(Durability::Crash).await {
            Ok(()) => change.carry_out(&self.live()?.handle).await,
            Err(error) => Err(error),
        };
        if let Err(error) = changed {
            self.set_network(record_before, state_before);
            self.save(Durability::Crash).await?;
            return Err(error);
        }
        tokio::task::block_in_place(|| match &change {
            Change::Connect(endpoint, _) => files::add_host(&self.record(), endpoint, &dir),
            Change::Disconnect(endpoint) => files::remove_host(endpoint, &dir),
            Change::Ports(..) => Ok(()),
        })?;
        if matches!(change, Change::Ports(..)) { Ok(()) } else { self.tell_names().await }
    }

    /// Tells the monitor which networks' names it is to answer from now on.
    async fn tell_names(&self) -> Result<()> {
        let (record, state) = (self.record(), self.state());
        let Some(sandbox) = state.sandbox() else { return Ok(()) };
        let Some(names) = networking::names_plan(&self.services, &record, sandbox) else { return Ok(()) };
        let dir = self.services.config.container_dir(record.id);
        let dns = &self.services.config.dns;
        self.live()?.handle.change_names(names).await?;
        tokio::task::block_in_place(|| files::renew_resolv_conf(&record, sandbox, &dir, dns))
    }

    fn set_network(&mut self, record: Arc<Record>, state: State) {
        if let (Some(run), Some(sandbox)) = (&mut self.run, state.sandbox()) {
            run.sandbox = sandbox.clone();
        }
        self.publish(state, |snapshot| snapshot.record = record);
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
        if state.is_restarting() {
            let id = self.record().id;
            return Err(Error::conflict(format!(
                "cannot remove container \"{id}\": container is restarting: stop the container before removing or force remove"
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
        self.run.as_ref().and_then(|run| run.monitor.as_ref()).ok_or_else(|| self.not_answering())
    }

    fn not_answering(&self) -> Error {
        let stuck = self.snapshot.borrow().stuck.clone();
        let why = stuck.unwrap_or_else(|| "its monitor is gone".into());
        Error::unavailable(format!("container {} cannot be reached: {why}", self.record().id.short()))
            .with_hint("look for a process named wharf-monitor that is stopped; 'wharf rm -f' removes the container")
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

/// A change of a running container's network.
enum Change {
    Connect(EndpointPlan, usize),
    Disconnect(EndpointPlan),
    /// Ports to publish, and ports to take back.
    Ports(Vec<PortPlan>, Vec<PortPlan>),
}

impl Change {
    async fn carry_out(&self, monitor: &Handle) -> Result<()> {
        match self {
            Change::Connect(endpoint, position) => monitor.connect_network(endpoint.clone(), *position).await,
            Change::Disconnect(endpoint) => monitor.disconnect_network(&endpoint.id).await,
            Change::Ports(new, gone) => monitor.change_ports(new.clone(), gone.clone()).await,
        }
    }
}

/// 126 and 127 as a shell has them; 128 for what went wrong around the program, as Docker keeps it in the state.
fn exit_code_of_failed_start(error: &Error) -> u8 {
    match error.kind() {
        Kind::CommandNotFound | Kind::CommandNotExecutable => error.kind().start_exit_code(),
        _ => 128,
    }
}

/// Returns at that time; never, where there is none.
async fn until(time: Option<Option<Instant>>) {
    match time.flatten() {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
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
