//! Downloads under way: one for each blob, however many want it, and all of them read it while it comes.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OnceCell, mpsc, watch};
use wharf_types::{Digest, Error, Result, ResultExt};

use super::Origin;
use crate::server::metrics::Metrics;
use crate::server::names::Name;
use crate::server::registry::Registry;
use crate::server::registry::uploads::Held;
use crate::server::store::{Content, Source};

/// How many pieces wait for the store at most.
const QUEUE: usize = 16;
/// How much a reader takes at once.
const PIECE: u64 = 256 << 10;
/// A reader looks again after this time, whether or not it was told that there is more.
const GLANCE: Duration = Duration::from_millis(20);

/// The downloads under way.
#[derive(Default)]
pub struct Flights {
    spool: PathBuf,
    running: Arc<Mutex<HashMap<Digest, Arc<OnceCell<Flight>>>>>,
}

/// A blob that is coming.
#[derive(Clone)]
struct Flight {
    size: u64,
    /// What has come so far.
    file: Arc<File>,
    state: watch::Receiver<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Pieces so far.
    Coming(u64),
    /// It is complete and verified.
    Complete,
    /// It will not be complete, and why.
    Failed(String),
}

/// A blob from upstream.
pub struct Fetched {
    /// Its size in bytes.
    pub size: u64,
    flight: Flight,
}

impl Flights {
    /// No downloads yet. `spool` takes those that are not in a file of the store.
    pub fn new(spool: PathBuf) -> Self {
        Self { spool, running: Arc::default() }
    }

    /// Joins the download of a blob, or begins it.
    ///
    /// Fails with `NotFound` if upstream does not have the blob.
    pub async fn fetch(
        &self,
        registry: &Arc<Registry>,
        origin: &Origin,
        name: &Name,
        digest: &Digest,
        metrics: &Arc<Metrics>,
    ) -> Result<Fetched> {
        let cell = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(running.entry(*digest).or_default())
        };
        let begun = cell.get_or_try_init(|| self.begin(registry, origin, name, digest, metrics)).await;
        match begun {
            Ok(flight) => Ok(Fetched { size: flight.size, flight: flight.clone() }),
            Err(error) => {
                self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
                Err(error)
            }
        }
    }

    async fn begin(
        &self,
        registry: &Arc<Registry>,
        origin: &Origin,
        name: &Name,
        digest: &Digest,
        metrics: &Arc<Metrics>,
    ) -> Result<Flight> {
        let path = origin.path(name);
        let size = origin.upstream.size(&path, digest).await?;
        let size = size.ok_or_else(|| Error::not_found(format!("{} has no {digest}", origin.upstream.host())))?;
        metrics.cache_misses.fetch_add(1, Ordering::Relaxed);
        let held = registry.begin(name).await.map_err(super::from_problem)?;
        let (file, spool) = self.open(registry, &held)?;
        let (pieces, arriving) = mpsc::channel(QUEUE);
        let (tell, state) = watch::channel(State::Coming(0));
        let upstream = Arc::clone(&origin.upstream);
        let wanted = *digest;
        let download = async move { upstream.download(&path, &wanted, size, &pieces).await };
        let store = store_blob(Arc::clone(registry), name.clone(), held, wanted, arriving, spool, tell.clone());
        let (running, metrics) = (Arc::clone(&self.running), Arc::clone(metrics));
        // Goes on when those who wanted it have left: the next one will want it, too.
        tokio::spawn(async move {
            let (sent, stored) = tokio::join!(download, store);
            let result = sent.and(stored);
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted);
            let state = match result {
                Ok(()) => {
                    metrics.upstream_bytes.fetch_add(size, Ordering::Relaxed);
                    State::Complete
                }
                Err(error) => {
                    metrics.upstream_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(digest = %wanted, error = error.chain(), "a download from upstream failed");
                    State::Failed(error.chain())
                }
            };
            tell.send_replace(state);
        });
        Ok(Flight { size, file: Arc::new(file), state })
    }

    /// The file to read from, and the one to write to where the store does not write it itself.
    fn open(&self, registry: &Registry, held: &Held) -> Result<(File, Option<File>)> {
        let growing = registry.store().growing(&held.upload);
        let path = growing.clone().unwrap_or_else(|| self.spool.join(format!("wharf-{}", held.upload.id)));
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot keep a download in {}", path.display()))?;
        if growing.is_some() {
            return Ok((file, None));
        }
        // Gone from the folder at once, and from the disk with its last reader.
        std::fs::remove_file(&path)?;
        let spool = file.try_clone()?;
        Ok((file, Some(spool)))
    }
}

/// Puts what arrives into the store and, where there is one, into the spool.
async fn store_blob(
    registry: Arc<Registry>,
    name: Name,
    mut held: Held,
    digest: Digest,
    arriving: mpsc::Receiver<Bytes>,
    mut spool: Option<File>,
    tell: watch::Sender<State>,
) -> Result<()> {
    let mut count = 0;
    let pieces = futures_util::stream::unfold(arriving, |mut arriving| async move {
        let bytes = arriving.recv().await?;
        Some((bytes, arriving))
    });
    let noted = pieces.map(move |bytes| {
        if let Some(spool) = &mut spool {
            spool.write_all(&bytes).context("cannot keep a download")?;
        }
        count += 1;
        tell.send_replace(State::Coming(count));
        Ok(bytes)
    });
    let appended = registry.append(&mut held, &mut Source::new(noted.boxed())).await;
    match appended {
        // The digest is verified here.
        Ok(()) => registry.commit(&name, held, &digest).await.map_err(super::from_problem),
        Err(problem) => {
            registry.drop_upload(&held).await.map_err(super::from_problem)?;
            Err(super::from_problem(problem))
        }
    }
}

impl Fetched {
    /// Some of its bytes, as they come. The last byte comes only when the whole is verified.
    pub fn content(&self, range: Range<u64>) -> Content {
        let start = (self.flight.clone(), range);
        Content::Stream(
            futures_util::stream::try_unfold(start, |(mut flight, range)| async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let bytes = flight.next(&range).await?;
                let rest = range.start + bytes.len() as u64..range.end;
                Ok(Some((bytes, (flight, rest))))
            })
            .boxed(),
        )
    }
}

impl Flight {
    async fn next(&mut self, range: &Range<u64>) -> Result<Bytes> {
        loop {
            let state = self.state.borrow_and_update().clone();
            let there = match state {
                State::Failed(reason) => return Err(Error::unavailable(reason)),
                State::Complete => self.size,
                State::Coming(_) => self.file.metadata()?.len().min(self.size.saturating_sub(1)),
            };
            let end = range.end.min(there).min(range.start + PIECE);
            if end > range.start {
                return self.read(range.start..end).await;
            }
            // Written a moment after it was announced: nobody tells when, so a glance must do.
            let _ = tokio::time::timeout(GLANCE, self.state.changed()).await;
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
            file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
        });
        read.await.map_err(|error| Error::system(error.to_string()))?.context("cannot read a download")
    }
}
