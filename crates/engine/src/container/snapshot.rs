//! What everyone may know about a container.

use std::sync::Arc;

use wharf_monitor::protocol::Health;

use super::record::Record;
use super::state::State;

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
    /// What its health checks found, if it has any and has run since this engine knows it.
    pub health: Option<Arc<Health>>,
    /// Why the container cannot be worked with at present, although it runs: its monitor does not answer.
    pub stuck: Option<Arc<str>>,
}

impl Snapshot {
    /// A container of which nothing is in the kernel.
    pub fn at_rest(record: Arc<Record>, state: State, restarts: u32) -> Self {
        Self { record, state, exits: 0, restarts, settled: true, health: None, stuck: None }
    }

    /// Whether it runs or is about to be started again by its policy: what Docker calls running.
    pub fn is_up(&self) -> bool {
        self.state.is_live() || self.state.is_restarting()
    }
}
