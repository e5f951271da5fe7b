//! Deleting much, beside other work and behind everybody who waits for an answer.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use wharf_sys::scheduling::{Scheduling, set_scheduling};
use wharf_types::{Result, ResultExt};

use crate::Grave;

/// So many lots may wait for their deletion; then whoever brings the next one waits.
const QUEUE: usize = 2;
/// The kernel's number for work that wants throughput and wakes up behind others (sched(7), `SCHED_BATCH`).
const BATCH: u32 = 3;
/// A third of the share of those who answer requests, where they compete for a processor.
const NICE: i32 = 5;

/// A thread that deletes what was taken out of a store. Dropped, it waits until all is deleted.
pub struct Undertaker {
    lots: Option<SyncSender<Vec<Grave>>>,
    thread: Option<JoinHandle<()>>,
}

impl Undertaker {
    /// Starts the thread.
    pub fn start() -> Result<Self> {
        let (lots, received) = sync_channel::<Vec<Grave>>(QUEUE);
        let work = move || {
            // Where that is not allowed, the work is done all the same.
            set_scheduling(Scheduling { policy: BATCH, nice: NICE, ..Scheduling::default() }).ok();
            received.into_iter().for_each(drop);
        };
        let thread = Builder::new().name("undertaker".into()).spawn(work);
        let thread = thread.context("cannot start a thread that deletes")?;
        Ok(Self { lots: Some(lots), thread: Some(thread) })
    }

    /// Has it deleted some time soon. What cannot be passed on is deleted here.
    pub fn delete(&self, graves: Vec<Grave>) {
        if let Some(lots) = &self.lots {
            drop(lots.send(graves));
        }
    }
}

impl Drop for Undertaker {
    fn drop(&mut self) {
        self.lots = None;
        if let Some(thread) = self.thread.take() {
            // What a thread that died has left goes at the next opening of the store.
            thread.join().ok();
        }
    }
}
