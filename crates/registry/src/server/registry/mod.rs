//! What a registry knows and does, without HTTP: repositories of manifests, tags and blobs over a [`Store`].
//!
//! ```text
//! catalog/NAME                     a repository that has had a manifest (its slashes as commas)
//! repos/NAME/_manifests/HEX        media type, a line break, the manifest's bytes
//! repos/NAME/_tags/TAG             the digest it stands for
//! repos/NAME/_referrers/HEX.HEX    subject and referrer: the referrer's descriptor
//! repos/NAME/_marks/HEX.t.TAG      a tag that may stand for this manifest
//! repos/NAME/_marks/HEX.p.HEX      an index that may have this manifest as a part
//! repos/NAME/_marks/HEX.r          was part of, or referred to, something that was deleted
//! repos/NAME/_marks/HEX.u          has lost a tag
//! repos/NAME/_marks/HEX.c          came from upstream; its age is the time since it was last asked for
//! uses/AB/HEX.KEY                  the repository with this key has this blob
//! uses/AB/HEX.KEY.HEX              a manifest of that repository may name this blob
//! uploads/ID                       an upload in progress
//! ```
//!
//! A mark is written *before* what it speaks of, so it may speak of what does not exist, but never the other way round:
//! whatever looks for reasons to keep something finds all of them beside it, and checks each. So collecting garbage
//! needs no walk over everything, and no server needs to know what others do (`claim.rs` tells how the two meet).

pub mod blobs;
pub mod claim;
pub mod collect;
pub mod keys;
pub mod manifest;
pub mod manifests;
pub mod referrers;
pub mod tags;
pub mod uploads;

use std::sync::Arc;
use std::time::Duration;

use super::store::Store;
use uploads::Locks;

/// How long things are kept that nothing keeps.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Content that was uploaded, mounted or asked for is kept so long, whether or not a manifest names it.
    pub grace: Duration,
    /// An upload to which nothing is added is forgotten after this time.
    pub uploads: Duration,
    /// A manifest that has lost its last tag is deleted after this time; never without one.
    pub untagged: Option<Duration>,
    /// Content from upstream that nobody asks for is deleted after this time; never without one.
    pub cached: Option<Duration>,
    /// How long a walk over everything takes.
    pub cycle: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        Self { grace: hours(24), uploads: hours(24), untagged: None, cached: Some(hours(24 * 30)), cycle: hours(1) }
    }
}

/// Repositories over a store.
pub struct Registry {
    store: Arc<dyn Store>,
    keeping: Keeping,
    locks: Locks,
}

impl Registry {
    /// A registry of what is in the store.
    pub fn new(store: Arc<dyn Store>, keeping: Keeping) -> Self {
        Self { store, keeping, locks: Locks::default() }
    }

    /// Where everything is.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How long things are kept.
    pub fn keeping(&self) -> &Keeping {
        &self.keeping
    }
}
