//! The garbage collector: always on, in small steps, in nobody's way.
//!
//! A cycle looks at every repository's released manifests, at the uploads, and at one 256th of the blobs after the other.
//! What may go is looked at a second time after it was announced (`claim.rs`); the collector holds back nobody but
//! those who want the very same content at that moment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use wharf_types::Digest;

use super::keys::{Mark, Use};
use super::manifest::Manifest;
use super::{Registry, keys};
use crate::server::names::Name;
use crate::server::problem::Answered;
use crate::server::store::{Blob, Entry};

/// How long after its announcement a removal may still be carried out.
const PROMPT: Duration = Duration::from_secs(60);

/// What was removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests.
    pub manifests: u64,
    /// Uploads.
    pub uploads: u64,
}

impl std::ops::AddAssign for Collected {
    fn add_assign(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.manifests += other.manifests;
        self.uploads += other.uploads;
    }
}

/// A blob, if it is there, and what uses it.
type Found = (Option<Blob>, Vec<(Use, Duration)>);

/// The repositories at the beginning of a cycle, with the manifests they had: what is in here needs no second look.
#[derive(Default)]
struct Census {
    names: HashMap<String, Name>,
    manifests: HashSet<(String, Digest)>,
}

impl Registry {
    /// Collects for ever, a cycle taking the time that was configured. `tell` hears of what every step removed.
    pub async fn collect_always(&self, tell: impl Fn(Collected) + Send + Sync) {
        loop {
            let pause = self.keeping.cycle / 257;
            tokio::time::sleep(pause).await;
            if let Err(problem) = self.cycle(pause, &tell).await {
                tracing::warn!(error = problem.message, "the garbage collection was interrupted and begins anew");
                tokio::time::sleep(self.keeping.cycle.min(Duration::from_secs(60))).await;
            }
        }
    }

    async fn cycle(&self, pause: Duration, tell: &(impl Fn(Collected) + Send + Sync)) -> Answered<()> {
        tell(self.collect_uploads().await?);
        let mut census = Census::default();
        for name in self.catalog().await? {
            tell(self.collect_repository(&name, &mut census).await?);
        }
        for first in 0..=u8::MAX {
            tell(self.collect_blobs(first, &census).await?);
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn collect_uploads(&self) -> Answered<Collected> {
        let mut collected = Collected::default();
        for entry in self.store.list("uploads/").await? {
            let old = entry.age >= self.keeping.uploads && !entry.name.contains('.');
            if old && self.expire(&entry.name).await? {
                collected.uploads += 1;
            }
        }
        Ok(collected)
    }

    async fn collect_repository(&self, name: &Name, census: &mut Census) -> Answered<Collected> {
        let mut collected = Collected::default();
        let mut due: Vec<Digest> = Vec::new();
        for entry in self.store.list(&keys::all_marks(name)).await? {
            if let Some((digest, mark)) = keys::read_mark(&entry.name)
                && self.is_due(&mark, entry.age)
            {
                due.push(digest);
            }
        }
        due.dedup();
        for digest in due {
            self.store.doom(&digest).await?;
            let removed = self.collect_manifest(name, &digest).await;
            self.store.spare(&digest).await?;
            collected.manifests += u64::from(removed?);
        }
        let manifests = self.store.list(&keys::manifests(name)).await?;
        if manifests.is_empty() {
            self.forget_repository(name).await?;
        }
        let key = name.key();
        let found = manifests.iter().filter_map(|entry| Digest::from_hex(&entry.name).ok());
        census.manifests.extend(found.map(|digest| (key.clone(), digest)));
        census.names.insert(key, name.clone());
        Ok(collected)
    }

    /// Whether a mark asks for a look at its manifest.
    fn is_due(&self, mark: &Mark, age: Duration) -> bool {
        match mark {
            Mark::Released => age >= self.keeping.grace,
            Mark::Untagged => age >= self.keeping.untagged.unwrap_or(self.keeping.grace),
            Mark::Cached => self.keeping.cached.is_some_and(|limit| age >= limit),
            Mark::Tagged(_) | Mark::Parent(_) => false,
        }
    }

    /// Decides about a manifest that is announced to go; says whether it went.
    async fn collect_manifest(&self, name: &Name, digest: &Digest) -> Answered<bool> {
        let marks = self.store.list(&keys::marks(name, digest)).await?;
        let Some(stored) = self.stored(name, digest).await? else {
            let all = self.old_marks(name, &marks, |_| true);
            self.store.delete(&all).await?;
            return Ok(false);
        };
        let read = |entry: &Entry| keys::read_mark(&entry.name).map(|(_, mark)| (mark, entry.age));
        let found: Vec<(Mark, Duration)> = marks.iter().filter_map(read).collect();
        let has = |wanted: &Mark| found.iter().any(|(mark, age)| mark == wanted && self.is_due(mark, *age));
        let evicted = has(&Mark::Cached);
        let released = has(&Mark::Released) || (self.keeping.untagged.is_some() && has(&Mark::Untagged));
        let mut kept = false;
        let mut untrue = Vec::new();
        for (mark, age) in &found {
            let holds = match mark {
                Mark::Tagged(tag) => self.resolve(name, tag).await? == Some(*digest) && !evicted,
                Mark::Parent(index) => self.has_manifest(name, index).await?,
                _ => continue,
            };
            kept |= holds || (*age < self.keeping.grace && !evicted);
            // An evicted manifest's tags are erased with it or stay true.
            if !holds && *age >= self.keeping.grace && !evicted {
                untrue.push(match mark {
                    Mark::Tagged(tag) => keys::tagged(name, digest, tag),
                    Mark::Parent(index) => keys::parent(name, digest, index),
                    _ => continue,
                });
            }
        }
        let subject = Manifest::read(&stored.bytes, Some(&stored.media_type)).ok().and_then(|m| m.subject);
        if let Some(subject) = subject {
            kept |= self.has_manifest(name, &subject).await?;
        }
        if !kept && (released || evicted) {
            self.erase(name, &stored).await?;
            return Ok(true);
        }
        // It stays: what asked for the look is answered.
        untrue.extend(self.old_marks(name, &marks, |mark| matches!(mark, Mark::Released | Mark::Untagged)));
        self.store.delete(&untrue).await?;
        Ok(false)
    }

    /// The keys of those marks that are older than the grace and wanted.
    fn old_marks(&self, name: &Name, marks: &[Entry], wanted: impl Fn(&Mark) -> bool) -> Vec<String> {
        let folder = keys::all_marks(name);
        let old = marks.iter().filter(|entry| entry.age >= self.keeping.grace);
        old.filter(|entry| keys::read_mark(&entry.name).is_some_and(|(_, mark)| wanted(&mark)))
            .map(|entry| format!("{folder}{}", entry.name))
            .collect()
    }

    /// Takes an empty repository from the list. A push at the same time sees that and puts it back.
    async fn forget_repository(&self, name: &Name) -> Answered<()> {
        let key = keys::catalog(name);
        if self.store.age(&key).await?.is_some_and(|age| age >= self.keeping.grace) {
            self.store.delete(std::slice::from_ref(&key)).await?;
            if !self.store.list(&keys::manifests(name)).await?.is_empty() {
                self.store.mark(&[key]).await?;
            }
        }
        Ok(())
    }

    async fn collect_blobs(&self, first: u8, census: &Census) -> Answered<Collected> {
        let mut all: BTreeMap<Digest, Found> = BTreeMap::new();
        for blob in self.store.blobs(first).await? {
            let digest = blob.digest;
            all.entry(digest).or_default().0 = Some(blob);
        }
        for entry in self.store.list(&keys::uses_from(first)).await? {
            if let Some(used) = keys::read_use(&entry.name) {
                all.entry(used.blob).or_default().1.push((used, entry.age));
            }
        }
        let mut collected = Collected::default();
        for (digest, (blob, uses)) in all {
            if !self.may_go(blob.as_ref(), &uses, census) {
                continue;
            }
            self.store.doom(&digest).await?;
            let removed = self.collect_blob(&digest, blob.as_ref(), census, Instant::now()).await;
            self.store.spare(&digest).await?;
            if removed? {
                collected.blobs += 1;
                collected.bytes += blob.map_or(0, |blob| blob.size);
            }
        }
        Ok(collected)
    }

    /// Whether anything about a blob deserves a closer look.
    fn may_go(&self, blob: Option<&Blob>, uses: &[(Use, Duration)], census: &Census) -> bool {
        let named = |used: &Use| {
            let known = |manifest: &Digest| census.manifests.contains(&(used.repository.clone(), *manifest));
            used.manifest.as_ref().is_some_and(known)
        };
        let live = |used: &Use| uses.iter().any(|(other, _)| other.repository == used.repository && named(other));
        let doubtful = |(used, age): &(Use, Duration)| {
            *age >= self.keeping.grace && if used.manifest.is_some() { !named(used) } else { !live(used) }
        };
        let forgotten = uses.is_empty() && blob.is_some_and(|blob| blob.age >= self.keeping.grace);
        forgotten || uses.iter().any(doubtful)
    }

    /// Decides about a blob that is announced to go; says whether it went.
    async fn collect_blob(
        &self,
        digest: &Digest,
        blob: Option<&Blob>,
        census: &Census,
        announced: Instant,
    ) -> Answered<bool> {
        let mut named: HashSet<String> = HashSet::new();
        let mut links = Vec::new();
        let mut dead = Vec::new();
        let mut live = 0;
        let folder = keys::uses_from(0).len();
        let prefix = keys::uses(digest)[..folder].to_owned();
        for entry in self.store.list(&keys::uses(digest)).await? {
            let Some(used) = keys::read_use(&entry.name) else { continue };
            let key = format!("{prefix}{}", entry.name);
            let young = entry.age < self.keeping.grace;
            let Some(manifest) = used.manifest else {
                links.push((key, used.repository, young));
                continue;
            };
            let exists = match self.name_of(&used.repository, census).await? {
                Some(name) => self.has_manifest(&name, &manifest).await?,
                None => false,
            };
            if exists {
                named.insert(used.repository.clone());
            }
            if exists || young {
                live += 1;
            } else {
                dead.push(key);
            }
        }
        for (key, repository, young) in links {
            if young || named.contains(&repository) {
                live += 1;
            } else {
                dead.push(key);
            }
        }
        // An announcement counts for some minutes only, lest a dead server block a push. One that has been stalled since
        // it announced must not act on what it saw then.
        if announced.elapsed() > PROMPT {
            return Ok(false);
        }
        self.store.delete(&dead).await?;
        let goes = live == 0 && blob.is_some_and(|blob| blob.age >= self.keeping.grace);
        if goes {
            self.store.remove(digest).await?;
        }
        Ok(goes)
    }

    /// The repository with this key. One that is not on the list has no manifest.
    async fn name_of(&self, key: &str, census: &Census) -> Answered<Option<Name>> {
        match census.names.get(key) {
            Some(name) => Ok(Some(name.clone())),
            None => Ok(self.catalog().await?.into_iter().find(|name| name.key() == key)),
        }
    }
}
