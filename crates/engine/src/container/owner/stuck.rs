//! Containers whose monitor is there and does not answer: set aside until it does, with the reason, holding up nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use wharf_monitor::handle::{Events, Handle};
use wharf_monitor::protocol::Status;
use wharf_types::{Error, Kind, Result};

use super::{Live, Owner};
use crate::container::snapshot::Snapshot;
use crate::container::state::State;
use crate::container::{launch, networking};
use crate::services::Services;

/// How long a monitor may take to answer an engine that has just started.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How soon one that hung up is asked again.
const SOON: Duration = Duration::from_millis(5);
/// How often one that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Connects to the monitor of a container that should live, and asks how it is.
///
/// # Errors
/// `NotFound` when there is no monitor any more; `Unavailable` when it does not answer.
pub async fn connect(services: &Services, snapshot: &Snapshot) -> Result<(State, Live)> {
    let dir = services.config.monitor_dir(snapshot.record.id);
    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            match greet(&dir).await {
                // It hung up: the container has just ended, and before long there will be nobody to ask.
                Err(error) if error.kind() == Kind::Unavailable => tokio::time::sleep(SOON).await,
                other => return other,
            }
        }
    });
    let (handle, status, events) =
        asked.await.unwrap_or_else(|_| Err(Error::unavailable("its monitor does not answer")))?;
    let sandbox = snapshot.state.sandbox().cloned();
    let sandbox = sandbox.ok_or_else(|| Error::system("a live container without a sandbox"))?;
    if let Some(actual) = status.sandbox {
        networking::finish_changes(&handle, &actual, &sandbox).await;
    }
    // A pause may have been carried out and not been written down.
    let paused = launch::is_frozen(services, &snapshot.record).await?;
    let state = State::running_again(status.pid, status.started_at, paused, sandbox);
    Ok((state, Live { pid: status.monitor_pid, handle: Arc::new(handle), events }))
}

async fn greet(dir: &Path) -> Result<(Handle, Status, Events)> {
    let handle = Handle::connect(dir).await?;
    let status = handle.status().await?;
    let events = handle.subscribe().await?;
    Ok((handle, status, events))
}

/// Waits until a monitor that did not answer does, or is gone; never returns where none is missed.
pub async fn monitor_back(services: &Services, snapshot: &watch::Sender<Snapshot>) -> Result<(State, Live)> {
    if snapshot.borrow().stuck.is_none() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(AGAIN).await;
        let now = snapshot.borrow().clone();
        match connect(services, &now).await {
            Err(error) if error.kind() == Kind::Unavailable => {}
            other => return other,
        }
    }
}

impl Owner {
    /// A monitor that was missed is back, or gone for good.
    pub(super) async fn on_found(&mut self, found: Result<(State, Live)>) {
        match found {
            Ok((state, live)) => {
                tracing::info!(container = %self.record().id, "its monitor answers again");
                self.last_monitor = Some(live.pid);
                if let Some(run) = &mut self.run {
                    run.monitor = Some(live);
                }
                self.publish(state, |snapshot| snapshot.stuck = None);
            }
            Err(error) => {
                tracing::warn!(container = %self.record().id, error = %error.chain(), "its monitor is gone");
                self.publish_with(|snapshot| snapshot.stuck = None);
                self.on_monitor_gone().await;
            }
        }
    }
}
