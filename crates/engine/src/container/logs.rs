//! Reading a container's log back.

use std::collections::VecDeque;

use tokio::sync::watch;
use wharf_monitor::log::{Entry as LogEntry, Filter, Follower};
use wharf_types::{Error, Result};

use super::snapshot::Snapshot;
use super::{Containers, logging};

/// Which part of a log, and whether to wait for more.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// What stays of the log.
    pub filter: Filter,
    /// Go on until the container ends.
    pub follow: bool,
}

/// One record of a log.
pub type LogRecord = LogEntry;

/// The records of a log, as they come.
pub struct LogStream {
    follower: Follower,
    container: Option<watch::Receiver<Snapshot>>,
    ready: VecDeque<LogRecord>,
    /// Whether the container has a terminal, so that nothing is multiplexed.
    pub tty: bool,
}

impl Containers {
    /// Opens a container's log.
    ///
    /// # Errors
    /// `NotImplemented` when its log driver keeps nothing to read.
    pub fn logs(&self, name: &str, options: LogOptions) -> Result<LogStream> {
        let entry = self.directory.find(name)?;
        let record = entry.now().record;
        let path = logging::readable(&self.services, &record)
            .ok_or_else(|| Error::not_implemented("configured logging driver does not support reading"))?;
        let follower = Follower::open(&path, options.filter)?;
        let container = options.follow.then_some(entry.snapshot);
        Ok(LogStream { follower, container, ready: VecDeque::new(), tty: record.config.tty })
    }
}

impl LogStream {
    /// The next records; `None` at the end: of the log, or of the container when following.
    pub async fn next(&mut self) -> Result<Option<LogRecord>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            let Some(container) = &mut self.container else {
                self.ready = self.follower.available()?.into();
                if self.ready.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let ended = container.wait_for(|now| !now.state.is_live());
            let more = tokio::select! {
                biased;
                more = self.follower.next() => Some(more),
                _ = ended => None,
            };
            match more {
                Some(more) => match more? {
                    Some(records) => self.ready = records.into(),
                    None => return Ok(None),
                },
                // The container has ended, so the log is complete: read the rest of it, then stop.
                None => self.container = None,
            }
        }
    }
}
