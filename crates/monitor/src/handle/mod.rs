//! The engine's side: starts monitors, finds them again, asks them. Needs a tokio runtime.
//!
//! Every request has a time limit, so a monitor that is stopped or stuck never holds up the engine: it is
//! [`Kind::Unavailable`](wharf_types::Kind::Unavailable).

mod connection;
mod events;
mod reserve;
mod spawn;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use wharf_network::plan::{EndpointPlan, PortPlan};
use wharf_runtime::spec::Process;
use wharf_types::Result;

use crate::protocol::{NamesPlan, Reply, Request, Status, Streams};
use connection::{Connection, unexpected};

pub use events::Events;
pub use reserve::Reserve;
pub use spawn::Newborn;

/// How long a monitor may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a process may take to start.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A running process, as its monitor reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its process id in the host's namespace.
    pub pid: i32,
    /// When it started, RFC 3339 with nanoseconds.
    pub started_at: String,
}

/// A running container's monitor. Cheap to keep: it connects when it is first asked.
#[derive(Debug)]
pub struct Handle {
    run_dir: PathBuf,
    /// For requests; one at a time. `None` until the first, and after a failure.
    connection: Mutex<Option<Connection>>,
    /// For starts of processes, which may take their time.
    starts: Mutex<Option<Connection>>,
}

impl Handle {
    /// The monitor whose folder is `run_dir`.
    ///
    /// # Errors
    /// `NotFound` when no monitor listens there: the container has ended ([`crate::read_exit`] knows how), or its
    /// monitor was killed.
    pub async fn connect(run_dir: &Path) -> Result<Self> {
        let handle = Self::new(run_dir);
        *handle.connection.lock().await = Some(Connection::open(run_dir).await?);
        Ok(handle)
    }

    fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned(), connection: Mutex::new(None), starts: Mutex::new(None) }
    }

    /// Everything that happens from now on, and what nobody has been told yet.
    ///
    /// # Errors
    /// Those of [`Handle::connect`].
    pub async fn subscribe(&self) -> Result<Events> {
        let mut connection = Connection::open(&self.run_dir).await?;
        let early = connection.subscribe(PATIENCE).await?;
        Ok(Events::new(connection, &self.run_dir, early))
    }

    /// How things are.
    ///
    /// # Errors
    /// `Unavailable` when the monitor does not answer; as for all requests.
    pub async fn status(&self) -> Result<Status> {
        match ask(&self.connection, &self.run_dir, Request::Status, None, PATIENCE).await? {
            Reply::Status(status) => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Attaches a client: `socket` is its connection, of which the engine keeps no copy.
    pub async fn attach(&self, socket: OwnedFd, streams: Streams) -> Result<()> {
        self.order(Request::Attach(streams), Some(socket)).await
    }

    /// Runs a further process; with a client unless it is detached.
    ///
    /// # Errors
    /// Those of the runtime (`CommandNotFound`, ...) beside the usual ones.
    pub async fn exec(&self, id: &str, process: Process, client: Option<(OwnedFd, Streams)>) -> Result<Started> {
        let (socket, streams) = client.unzip();
        let request = Request::Exec { id: id.to_owned(), process: Box::new(process), streams };
        started(ask(&self.starts, &self.run_dir, request, socket, START_PATIENCE).await?)
    }

    /// Sends a signal to the first process, or to an exec.
    ///
    /// # Errors
    /// `Conflict` when the process has ended, `NotFound` when there is no such exec.
    pub async fn signal(&self, exec: Option<&str>, signal: i32) -> Result<()> {
        self.order(Request::Signal { exec: exec.map(str::to_owned), signal }, None).await
    }

    /// Sets a terminal's size in characters.
    ///
    /// # Errors
    /// `Conflict` when the process has no terminal.
    pub async fn resize(&self, exec: Option<&str>, rows: u16, columns: u16) -> Result<()> {
        self.order(Request::Resize { exec: exec.map(str::to_owned), rows, columns }, None).await
    }

    /// Freezes the container's processes, or lets them go on.
    ///
    /// # Errors
    /// `NotImplemented` by a monitor of an older version, which leaves that to the engine.
    pub async fn freeze(&self, frozen: bool) -> Result<()> {
        self.order(Request::Freeze(frozen), None).await
    }

    /// Publishes further ports and takes others back.
    ///
    /// # Errors
    /// `Conflict` when a port is taken; nothing has changed then.
    pub async fn change_ports(&self, publish: Vec<PortPlan>, unpublish: Vec<PortPlan>) -> Result<()> {
        self.order(Request::Ports { publish, unpublish }, None).await
    }

    /// Changes what the container's name server knows.
    pub async fn change_names(&self, names: NamesPlan) -> Result<()> {
        self.order(Request::Names(names), None).await
    }

    /// Adds a network interface.
    ///
    /// # Errors
    /// Whatever the kernel has against it; nothing of it is left then.
    pub async fn connect_network(&self, endpoint: EndpointPlan, position: usize) -> Result<()> {
        self.order(Request::Connect { endpoint: Box::new(endpoint), position }, None).await
    }

    /// Takes a network interface away, by its endpoint's id.
    pub async fn disconnect_network(&self, endpoint: &str) -> Result<()> {
        self.order(Request::Disconnect { endpoint: endpoint.to_owned() }, None).await
    }

    async fn order(&self, request: Request, descriptor: Option<OwnedFd>) -> Result<()> {
        match ask(&self.connection, &self.run_dir, request, descriptor, PATIENCE).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

async fn ask(
    slot: &Mutex<Option<Connection>>,
    run_dir: &Path,
    request: Request,
    descriptor: Option<OwnedFd>,
    patience: Duration,
) -> Result<Reply> {
    let mut slot = slot.lock().await;
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => Connection::open(run_dir).await?,
    };
    let descriptors: Vec<_> = descriptor.iter().map(AsFd::as_fd).collect();
    let reply = connection.ask(&request, &descriptors, patience).await?;
    // After a failure, or if this future is dropped on the way, answers no longer belong to questions: a new one then.
    *slot = Some(connection);
    drop(slot);
    reply.into_result()
}

fn started(reply: Reply) -> Result<Started> {
    match reply {
        Reply::Started { pid, started_at } => Ok(Started { pid, started_at }),
        other => Err(unexpected(&other)),
    }
}
