//! One build as its client knows it: by a name that the client chose, over several calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use wharf_engine::build::events::Event;

use crate::grpc::{Code, Status};
use crate::proto::{BridgeResult, SolveRequest, StatusResponse};
use crate::remote::Outcome;
use crate::tell::Teller;

/// How long a job is known after its end, for those who ask late how it went.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// One build.
pub(crate) struct Job {
    pub(crate) reference: String,
    told: Mutex<Told>,
    changed: watch::Sender<Progress>,
    /// What the client asked for; `None` as long as its other calls are faster.
    asked: watch::Sender<Option<Arc<SolveRequest>>>,
    /// What its own frontend returned.
    returned: watch::Sender<Option<Result<BridgeResult, Status>>>,
    outcomes: Mutex<HashMap<String, Arc<Outcome>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    told: usize,
    ended: bool,
}

#[derive(Default)]
struct Told {
    messages: Vec<StatusResponse>,
    teller: Teller,
}

impl Job {
    pub(crate) fn new(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            told: Mutex::new(Told { messages: Vec::new(), teller: Teller::new(reference) }),
            changed: watch::Sender::new(Progress::default()),
            asked: watch::Sender::new(None),
            returned: watch::Sender::new(None),
            outcomes: Mutex::default(),
        }
    }

    /// Tells an event to whoever follows.
    pub(crate) fn event(&self, event: Event) {
        self.with(|teller| teller.event(event));
    }

    /// Tells something that is not an event of the engine.
    pub(crate) fn with(&self, say: impl FnOnce(&mut Teller) -> Option<StatusResponse>) {
        let mut told = self.told();
        let Some(message) = say(&mut told.teller) else { return };
        told.messages.push(message);
        let count = told.messages.len();
        drop(told);
        self.changed.send_modify(|progress| progress.told = count);
    }

    pub(crate) fn counts(&self) -> crate::tell::Counts {
        self.told().teller.counts
    }

    /// Everything told from `at` on; waits for something, and answers `None` when the end has been told.
    pub(crate) async fn told_since(&self, at: usize) -> Option<Vec<StatusResponse>> {
        let mut changed = self.changed.subscribe();
        let progress = *changed.wait_for(|progress| progress.told > at || progress.ended).await.ok()?;
        if progress.told <= at {
            return None;
        }
        Some(self.told().messages[at..].to_vec())
    }

    pub(crate) fn end(&self) {
        self.changed.send_modify(|progress| progress.ended = true);
    }

    pub(crate) fn ask(&self, request: Arc<SolveRequest>) {
        self.asked.send_replace(Some(request));
    }

    /// What the client asked for, once it has.
    pub(crate) async fn asked(&self) -> Result<Arc<SolveRequest>, Status> {
        let mut asked = self.asked.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(10), asked.wait_for(Option::is_some)).await;
        let request = found.ok().and_then(Result::ok).and_then(|request| request.clone());
        request.ok_or_else(|| Status::new(Code::NotFound, format!("no such job {}", self.reference)))
    }

    pub(crate) fn give_back(&self, result: Result<BridgeResult, Status>) {
        self.returned.send_replace(Some(result));
    }

    /// What the client's frontend returned, once it has.
    pub(crate) async fn returned(&self) -> Result<BridgeResult, Status> {
        let mut returned = self.returned.subscribe();
        let found = returned.wait_for(Option::is_some).await;
        let none = || Status::new(Code::Internal, "the job is gone");
        found.ok().and_then(|result| result.clone()).ok_or_else(none)?
    }

    pub(crate) fn keep_outcome(&self, outcome: Arc<Outcome>) -> String {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("{}-{}", self.reference, outcomes.len());
        outcomes.insert(id.clone(), outcome);
        id
    }

    pub(crate) fn outcome(&self, id: &str) -> Option<Arc<Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Lets go of everything that a build holds.
    fn clear(&self) {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All jobs of an engine.
#[derive(Default)]
pub(crate) struct Jobs(Arc<Mutex<HashMap<String, Arc<Job>>>>);

impl Jobs {
    /// The job of this name; whichever call comes first makes it.
    pub(crate) fn get(&self, reference: &str) -> Arc<Job> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(jobs.entry(reference.to_owned()).or_insert_with(|| Arc::new(Job::new(reference))))
    }

    /// Ends a job when the guard is dropped; it is forgotten a little later.
    pub(crate) fn ending(&self, job: &Arc<Job>) -> Ending {
        Ending { job: Arc::clone(job), jobs: Arc::clone(&self.0) }
    }
}

/// Ends a job.
pub(crate) struct Ending {
    job: Arc<Job>,
    jobs: Arc<Mutex<HashMap<String, Arc<Job>>>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.job.end();
        self.job.clear();
        let (job, jobs) = (Arc::clone(&self.job), Arc::clone(&self.jobs));
        tokio::spawn(async move {
            tokio::time::sleep(AFTERWARDS).await;
            let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            if jobs.get(&job.reference).is_some_and(|present| Arc::ptr_eq(present, &job)) {
                jobs.remove(&job.reference);
            }
        });
    }
}
