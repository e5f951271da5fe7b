//! What an owner may be asked for.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;
use wharf_api::network::EndpointSettings;
use wharf_monitor::protocol::Streams;
use wharf_runtime::spec::{Process, Resources};
use wharf_types::Result;

use super::publish::PortChange;
use super::record::Record;
use crate::network::{Network, Wanted};

/// A change that someone wants.
pub enum Request {
    /// Start it.
    Start(oneshot::Sender<Result<()>>),
    /// It ended while no engine ran, or was to be started again then: let its restart policy decide.
    Reconsider,
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
    /// Publish further ports and take others back.
    Ports(Box<PortChange>, oneshot::Sender<Result<()>>),
    /// Connect it to one more network.
    Connect(Box<(Wanted, EndpointSettings)>, oneshot::Sender<Result<()>>),
    /// Disconnect it from a network.
    Disconnect(Box<Network>, oneshot::Sender<Result<()>>),
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
