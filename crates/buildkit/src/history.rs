//! The last builds, as long as the engine lives.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::proto::{BuildHistoryEvent, BuildHistoryRecord, history_event};

/// How many are remembered.
const MOST: usize = 100;

/// Builds that run and builds that ended.
pub(crate) struct History {
    records: Mutex<VecDeque<BuildHistoryRecord>>,
    events: broadcast::Sender<BuildHistoryEvent>,
}

impl Default for History {
    fn default() -> Self {
        Self { records: Mutex::default(), events: broadcast::Sender::new(64) }
    }
}

impl History {
    /// Notes a beginning or an end.
    pub(crate) fn note(&self, record: BuildHistoryRecord) {
        let ended = record.completed_at.is_some();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|known| known.reference != record.reference);
        records.push_back(record.clone());
        while records.len() > MOST {
            records.pop_front();
        }
        drop(records);
        self.tell(if ended { history_event::COMPLETE } else { history_event::STARTED }, record);
    }

    pub(crate) fn remove(&self, reference: &str) -> bool {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = records.iter().position(|record| record.reference == reference) else { return false };
        let Some(record) = records.remove(at) else { return false };
        drop(records);
        self.tell(history_event::DELETED, record);
        true
    }

    /// Keeps a record, or no longer.
    pub(crate) fn pin(&self, reference: &str, pinned: bool) -> bool {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let found = records.iter_mut().find(|record| record.reference == reference);
        found.map(|record| record.pinned = pinned).is_some()
    }

    /// What is known, and what will be.
    pub(crate) fn follow(&self) -> (Vec<BuildHistoryEvent>, broadcast::Receiver<BuildHistoryEvent>) {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let event = |record: &BuildHistoryRecord| {
            let ended = record.completed_at.is_some();
            let kind = if ended { history_event::COMPLETE } else { history_event::STARTED };
            BuildHistoryEvent { kind, record: Some(record.clone()) }
        };
        (records.iter().map(event).collect(), self.events.subscribe())
    }

    fn tell(&self, kind: i32, record: BuildHistoryRecord) {
        // Nobody listens most of the time.
        drop(self.events.send(BuildHistoryEvent { kind, record: Some(record) }));
    }
}
