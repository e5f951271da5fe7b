//! Pull-through: what is not here comes from another registry, and stays.

mod flight;
mod upstream;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use wharf_types::{Digest, Error, Kind};

pub use flight::Fetched;
pub use upstream::{Origin, Remote};

use super::metrics::Metrics;
use super::names::{Name, Refer};
use super::problem::{Answered, Problem};
use super::registry::manifests::{Completeness, Stored};
use super::registry::uploads::Locks;
use super::registry::{Registry, keys};
use flight::Flights;

/// How long an upstream that did not answer is left alone, as long as there is something to serve.
const SHUNNED: Duration = Duration::from_secs(15);

/// Which repositories are those of other registries.
#[derive(Default)]
pub struct Cache {
    /// The most particular first.
    origins: Vec<Origin>,
    /// How long a tag is served without asking upstream again.
    fresh: Duration,
    flights: Flights,
    locks: Locks,
    asked: Mutex<HashMap<String, Instant>>,
    shunned: Mutex<HashMap<String, Instant>>,
}

impl Cache {
    /// A cache of these registries. `spool` takes downloads that are not in a file of the store.
    pub fn new(mut origins: Vec<Origin>, fresh: Duration, spool: std::path::PathBuf) -> Self {
        origins.sort_by_key(|origin| std::cmp::Reverse(origin.prefix.len()));
        Self { origins, fresh, flights: Flights::new(spool), ..Self::default() }
    }

    /// Where the content of a repository comes from, if not from pushes.
    pub fn serves(&self, name: &Name) -> Option<&Origin> {
        self.origins.iter().find(|origin| origin.has(name))
    }

    /// Counts an answer that needed no download.
    pub fn hit(&self, name: &Name, metrics: &Metrics) {
        if self.serves(name).is_some() {
            metrics.cache_hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is pushed into a cache would be hidden from, or hide, what upstream has.
    pub fn refuse_push(&self, name: &Name) -> Answered<()> {
        match self.serves(name) {
            None => Ok(()),
            Some(origin) => Err(Problem::unsupported(format!(
                "this repository is a cache of {}; push there",
                origin.upstream.host()
            ))),
        }
    }

    /// A manifest: a tag's is asked for upstream every now and then, a digest's never changes.
    pub async fn manifest(
        &self,
        registry: &Registry,
        origin: &Origin,
        name: &Name,
        refer: &Refer,
        metrics: &Metrics,
    ) -> Answered<Option<Stored>> {
        let key = format!("{name}/{refer}");
        let _alone = self.locks.of(&key).lock_owned().await;
        let present = registry.manifest(name, refer).await?;
        let current = match refer {
            Refer::Digest(_) => true,
            Refer::Tag(_) => self.is_fresh(&key) || self.is_shunned(origin),
        };
        if let Some(stored) = present.as_ref().filter(|_| current) {
            metrics.cache_hits.fetch_add(1, Ordering::Relaxed);
            registry.renew_cached(name, &stored.digest).await?;
            return Ok(present);
        }
        match self.fetch_manifest(registry, origin, name, refer, present.as_ref(), metrics).await {
            Ok(stored) => {
                self.note_asked(key);
                Ok(stored)
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => {
                self.note_failure(origin, &error, metrics);
                let present = present.ok_or_else(|| unreachable(origin, &error))?;
                registry.renew_cached(name, &present.digest).await?;
                Ok(Some(present))
            }
        }
    }

    async fn fetch_manifest(
        &self,
        registry: &Registry,
        origin: &Origin,
        name: &Name,
        refer: &Refer,
        present: Option<&Stored>,
        metrics: &Metrics,
    ) -> Result<Option<Stored>, Error> {
        let path = origin.path(name);
        if let Refer::Tag(tag) = refer
            && let Some(present) = present
            && origin.upstream.resolve(&path, tag).await? == Some(present.digest)
        {
            metrics.cache_hits.fetch_add(1, Ordering::Relaxed);
            registry.renew_cached(name, &present.digest).await.map_err(from_problem)?;
            return Ok(Some(present.clone()));
        }
        metrics.cache_misses.fetch_add(1, Ordering::Relaxed);
        let document = origin.upstream.manifest(&path, &refer.to_string()).await?;
        metrics.upstream_bytes.fetch_add(document.bytes.len() as u64, Ordering::Relaxed);
        let (bytes, media_type) = (&document.bytes, Some(document.media_type.as_str()));
        let put = registry.put_manifest(name, refer, bytes, media_type, Completeness::Later).await;
        let (digest, _) = put.map_err(from_problem)?;
        registry.renew_cached(name, &digest).await.map_err(from_problem)?;
        Ok(Some(Stored { digest, media_type: document.media_type, bytes: document.bytes }))
    }

    /// A blob that is not here: its bytes as they come, of one download for everybody who wants it.
    pub async fn blob(
        &self,
        registry: &Arc<Registry>,
        name: &Name,
        digest: &Digest,
        metrics: &Arc<Metrics>,
    ) -> Answered<Option<Fetched>> {
        let Some(origin) = self.serves(name) else { return Ok(None) };
        match self.flights.fetch(registry, origin, name, digest, metrics).await {
            Ok(fetched) => Ok(Some(fetched)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => {
                self.note_failure(origin, &error, metrics);
                Err(unreachable(origin, &error))
            }
        }
    }

    /// The tags that upstream has; while it does not answer, those that are here.
    pub async fn tags(
        &self,
        registry: &Registry,
        origin: &Origin,
        name: &Name,
        metrics: &Metrics,
    ) -> Answered<Vec<String>> {
        match origin.upstream.tags(&origin.path(name)).await {
            Ok(mut tags) => {
                tags.sort_unstable();
                Ok(tags)
            }
            Err(error) if error.kind() == Kind::NotFound => {
                Err(Problem::name_unknown("upstream has no such repository"))
            }
            Err(error) => {
                self.note_failure(origin, &error, metrics);
                registry.tags(name).await
            }
        }
    }

    /// What upstream says refers to a manifest; nothing while it does not answer.
    pub async fn referrers(
        &self,
        origin: &Origin,
        name: &Name,
        digest: &Digest,
        metrics: &Metrics,
    ) -> Option<Vec<Value>> {
        match origin.upstream.referrers(&origin.path(name), digest).await {
            Ok(bytes) => {
                let index: Value = serde_json::from_slice(&bytes).ok()?;
                index["manifests"].as_array().cloned()
            }
            Err(error) => {
                if error.kind() != Kind::NotFound {
                    self.note_failure(origin, &error, metrics);
                }
                None
            }
        }
    }

    fn is_fresh(&self, key: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(key).is_some_and(|since| since.elapsed() < self.fresh)
    }

    fn note_asked(&self, key: String) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() > 10_000 {
            asked.retain(|_, since| since.elapsed() < self.fresh);
        }
        asked.insert(key, Instant::now());
    }

    fn is_shunned(&self, origin: &Origin) -> bool {
        let shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.get(&origin.prefix).is_some_and(|since| since.elapsed() < SHUNNED)
    }

    fn note_failure(&self, origin: &Origin, error: &Error, metrics: &Metrics) {
        metrics.upstream_failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(upstream = origin.upstream.host(), error = error.chain(), "upstream failed");
        self.shunned.lock().unwrap_or_else(PoisonError::into_inner).insert(origin.prefix.clone(), Instant::now());
    }
}

impl Registry {
    /// Notes that content from upstream is in use; one write in an hour is enough.
    async fn renew_cached(&self, name: &Name, digest: &Digest) -> Answered<()> {
        let mark = keys::cached(name, digest);
        let interval = Duration::from_secs(3600).min(self.keeping().cached.unwrap_or(Duration::MAX) / 4);
        match self.store().age(&mark).await? {
            Some(age) if age < interval => Ok(()),
            _ => Ok(self.store().mark(&[mark]).await?),
        }
    }
}

fn unreachable(origin: &Origin, error: &Error) -> Problem {
    match error.kind() {
        Kind::Unauthorized | Kind::Forbidden => {
            Problem::denied(format!("{} does not let this cache in: {error}", origin.upstream.host()))
        }
        _ => Problem::unavailable(format!("{} does not give it, and it is not here: {error}", origin.upstream.host())),
    }
}

fn from_problem(problem: Problem) -> Error {
    Error::system(problem.message)
}
