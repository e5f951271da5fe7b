//! What was built before: for each step's key the layer that came of it.
//!
//! A key is a digest of what a step is and of the content that it works on, so nothing is ever out of date; records go when
//! someone prunes them or when room is needed. The book is in memory; a [`Journal`] keeps it for the next engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wharf_image::BuiltLayer;
use wharf_storage::Lease;
use wharf_types::Digest;

/// What kind of thing a record is, in BuildKit's words where the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// The layer of a step.
    Step,
    /// The folder of a cache mount.
    CacheMount,
}

/// One thing that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its key.
    pub key: Digest,
    /// What it is.
    pub kind: RecordKind,
    /// The key of the step below it, if that is known.
    #[serde(default)]
    pub parent: Option<Digest>,
    /// The layer; `None` for a step that changed nothing.
    #[serde(default)]
    pub layer: Option<LayerRecord>,
    /// For people.
    pub description: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was last of use, RFC 3339.
    pub used: String,
    /// How often.
    #[serde(default)]
    pub uses: u64,
    /// Folder of a cache mount.
    #[serde(default)]
    pub folder: Option<String>,
    /// The boot in which its layer was made, until it is durable.
    #[serde(default)]
    pub unsynced_boot: Option<String>,
}

/// A layer, as records keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the plain tar.
    pub diff_id: Digest,
    /// Its size in bytes.
    pub blob: u64,
    /// Sum of the sizes of its files in bytes.
    pub size: u64,
}

impl From<BuiltLayer> for LayerRecord {
    fn from(layer: BuiltLayer) -> Self {
        Self { diff_id: layer.diff_id, blob: layer.blob, size: layer.size }
    }
}

impl From<LayerRecord> for BuiltLayer {
    fn from(layer: LayerRecord) -> Self {
        Self { diff_id: layer.diff_id, blob: layer.blob, size: layer.size }
    }
}

/// Keeps records for the next engine. Both only begin the writing, in order.
pub trait Journal: Send + Sync {
    /// Keeps or replaces.
    fn put(&self, record: &Record);
    /// Forgets.
    fn remove(&self, key: &Digest);
}

/// All records of an engine.
pub struct Cache {
    entries: Mutex<HashMap<Digest, Entry>>,
    turns: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    journal: Box<dyn Journal>,
}

struct Entry {
    record: Record,
    /// Keeps the layer from collection.
    _lease: Option<Lease>,
    /// How many builds use it right now.
    pins: usize,
}

/// A record in use, which is not pruned.
pub struct Pin {
    cache: Arc<Cache>,
    key: Digest,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(entry) = self.cache.entries().get_mut(&self.key) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }
}

impl Cache {
    /// A book with these records and the leases on their layers.
    pub fn new(records: Vec<(Record, Option<Lease>)>, journal: Box<dyn Journal>) -> Self {
        let entry = |(record, lease): (Record, Option<Lease>)| (record.key, Entry { record, _lease: lease, pins: 0 });
        let entries = records.into_iter().map(entry).collect();
        Self { entries: Mutex::new(entries), turns: Mutex::default(), journal }
    }

    /// Looks a step up, notes that it was of use, and keeps it from being pruned meanwhile.
    pub fn find(self: &Arc<Self>, key: &Digest) -> Option<(Record, Pin)> {
        let mut entries = self.entries();
        let entry = entries.get_mut(key)?;
        entry.pins += 1;
        entry.record.uses += 1;
        entry.record.used = now();
        let record = entry.record.clone();
        drop(entries);
        self.journal.put(&record);
        Some((record, Pin { cache: Arc::clone(self), key: *key }))
    }

    /// Notes what came of a step.
    pub fn put(self: &Arc<Self>, record: Record, lease: Option<Lease>) -> Pin {
        self.journal.put(&record);
        let key = record.key;
        let mut entries = self.entries();
        let pins = entries.get(&key).map_or(0, |entry| entry.pins) + 1;
        entries.insert(key, Entry { record, _lease: lease, pins });
        Pin { cache: Arc::clone(self), key }
    }

    /// All layers are durable now.
    pub fn synced(&self, keys: &[Digest]) {
        let mut entries = self.entries();
        for key in keys {
            if let Some(entry) = entries.get_mut(key)
                && entry.record.unsynced_boot.take().is_some()
            {
                self.journal.put(&entry.record);
            }
        }
    }

    /// Forgets a record whose layer is gone.
    pub fn forget(&self, key: &Digest) {
        if self.entries().remove(key).is_some() {
            self.journal.remove(key);
        }
    }

    /// All records, and whether each is in use.
    pub fn list(&self) -> Vec<(Record, bool)> {
        let mut all: Vec<_> = self.entries().values().map(|entry| (entry.record.clone(), entry.pins > 0)).collect();
        all.sort_by(|(a, _), (b, _)| b.used.cmp(&a.used).then(a.key.cmp(&b.key)));
        all
    }

    /// Takes out those records that are not in use; answers those that went.
    pub fn prune(&self, keys: &[Digest]) -> Vec<Record> {
        let mut entries = self.entries();
        let mut gone = Vec::new();
        for key in keys {
            if entries.get(key).is_some_and(|entry| entry.pins == 0)
                && let Some(entry) = entries.remove(key)
            {
                self.journal.remove(key);
                gone.push(entry.record);
            }
        }
        gone
    }

    /// Waits for one's turn at a step: whoever does the same at the same time finds it done afterwards.
    pub async fn turn(&self, key: &Digest) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(turns.entry(*key).or_default())
        };
        lock.lock_owned().await
    }

    /// As [`Cache::turn`], but `None` where someone else is at it.
    pub fn try_turn(&self, key: &Digest) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(turns.entry(*key).or_default()).try_lock_owned().ok()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The present time, RFC 3339.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}
