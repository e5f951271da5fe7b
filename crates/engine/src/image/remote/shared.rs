//! Layers that are being fetched: whoever wants the same one watches, instead of fetching it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use wharf_image::Part;
use wharf_storage::{StagedBlob, StagedLayer};
use wharf_types::{Digest, Error, Result};

use super::copy_of;

/// How far a layer is.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// A place in the queue was found.
    pub(super) begun: bool,
    /// Bytes of the blob that are here.
    pub(super) downloaded: u64,
    /// The blob is complete and verified.
    pub(super) verified: bool,
    /// Bytes of the blob that are unpacked.
    pub(super) unpacked: u64,
    /// How it ended.
    pub(super) ended: Option<Result<(), Arc<Error>>>,
}

/// What a fetched layer consists of, until it is published. What was here before is `None`.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) blob: Option<StagedBlob>,
    pub(super) layer: Option<StagedLayer>,
}

/// A layer that is being fetched. When nobody is interested any more, it stops.
pub(super) struct Job {
    states: watch::Receiver<State>,
    staged: Arc<Mutex<Staged>>,
    task: AbortHandle,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Job {
    /// Watches how far it is.
    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.states.clone()
    }

    /// Takes what is to be published; the first of several pulls gets it.
    pub(super) fn take(&self) -> Staged {
        std::mem::take(&mut *self.staged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the end. `tell` hears of changes, though not of each.
    pub(super) async fn watch(&self, mut tell: impl FnMut(&State)) -> Result<()> {
        let mut states = self.states();
        loop {
            let state = states.borrow_and_update().clone();
            tell(&state);
            match state.ended {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(copy_of(&error)),
                None => {}
            }
            if states.changed().await.is_err() {
                return Err(Error::system("the download of a layer died"));
            }
        }
    }
}

type Key = (Digest, Digest);

/// All layers that are being fetched.
#[derive(Default)]
pub(super) struct Table(Mutex<HashMap<Key, Weak<Job>>>);

impl Table {
    /// The job that fetches this layer; `start` makes one where there is none, and tells through the sender.
    pub(super) fn join<F>(&self, part: &Part, start: impl FnOnce(watch::Sender<State>) -> F) -> Arc<Job>
    where
        F: Future<Output = Result<Staged>> + Send + 'static,
    {
        let key = (part.blob.digest, part.diff_id);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, job| job.strong_count() > 0);
        if let Some(job) = table.get(&key).and_then(Weak::upgrade).filter(|job| !has_failed(job)) {
            return job;
        }
        let (sender, states) = watch::channel(State::default());
        let staged = Arc::new(Mutex::new(Staged::default()));
        let (work, place, teller) = (start(sender.clone()), staged.clone(), sender);
        let task = tokio::spawn(async move {
            let ended = match work.await {
                Ok(result) => {
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = result;
                    Ok(())
                }
                Err(error) => Err(Arc::new(error)),
            };
            teller.send_modify(|state| state.ended = Some(ended));
        });
        let job = Arc::new(Job { states, staged, task: task.abort_handle() });
        table.insert(key, Arc::downgrade(&job));
        job
    }
}

fn has_failed(job: &Job) -> bool {
    matches!(job.states.borrow().ended, Some(Err(_)))
}
