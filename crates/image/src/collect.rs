//! Leases and collection: what is in use stays, what nobody refers to goes.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLockReadGuard};

use wharf_storage::{Grave, Lease};
use wharf_types::{Digest, Result};

use crate::catalog::{Catalog, Referenced};
use crate::{Image, ImageStore};

/// So much is taken away under one hold of the lock.
const AT_ONCE: usize = 16;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of blobs.
    pub blobs: u64,
    /// Number of layers.
    pub layers: u64,
    /// Bytes of both; a layer counts the sizes of its files.
    pub bytes: u64,
}

impl ImageStore {
    /// Keeps the layers of an image from collection until the lease is dropped. Take one for every container, running
    /// or not: its image may be removed with force while the container lives on.
    pub fn lease(&self, image: &Image) -> Lease {
        let _collecting = self.spare_content();
        self.lease_of(image)
    }

    pub(crate) fn lease_of(&self, image: &Image) -> Lease {
        let mut lease = self.leases.begin();
        image.diff_ids().iter().for_each(|diff_id| lease.hold(*diff_id));
        lease
    }

    /// Keeps layers, by diff id, from collection: for a container whose image is gone.
    pub fn lease_layers(&self, diff_ids: &[Digest]) -> Lease {
        let _collecting = self.spare_content();
        let mut lease = self.leases.begin();
        diff_ids.iter().for_each(|diff_id| lease.hold(*diff_id));
        lease
    }

    /// An empty lease, for operations that bring in content piece by piece.
    pub fn begin(&self) -> Lease {
        self.leases.begin()
    }

    /// Removes every blob and layer that no image refers to and no lease holds.
    ///
    /// All stays when something cannot be read, for nobody knows then what belongs to it.
    pub fn collect(&self) -> Result<Collected> {
        let _writer = self.lock_writer();
        let catalog = self.catalog();
        if catalog.has_unreadable() {
            return Ok(Collected::default());
        }
        let blobs = self.content.list()?.into_iter().map(|blob| blob.digest);
        let garbage = Referenced { blobs: blobs.collect(), layers: self.layers.list()?.into_iter().collect() };
        self.sweep(&garbage, &catalog)
    }

    /// What [`ImageStore::collect`] would remove.
    pub(crate) fn orphans(&self) -> Result<Collected> {
        let catalog = self.catalog();
        let needed = catalog.referenced();
        let mut orphans = Collected::default();
        let is_free = |known: &HashSet<Digest>, digest: &Digest| !known.contains(digest) && !self.leases.holds(digest);
        if catalog.has_unreadable() {
            return Ok(orphans);
        }
        for blob in self.content.list()?.into_iter().filter(|blob| is_free(&needed.blobs, &blob.digest)) {
            orphans.blobs += 1;
            orphans.bytes += blob.size;
        }
        for layer in self.layers.list()?.into_iter().filter(|layer| is_free(&needed.layers, layer)) {
            orphans.layers += 1;
            orphans.bytes += self.layers.info(&layer).map_or(0, |info| info.size);
        }
        Ok(orphans)
    }

    /// Removes those of the candidates that nobody needs. They vanish under the lock and are deleted after it.
    pub(crate) fn sweep(&self, candidates: &Referenced, catalog: &Catalog) -> Result<Collected> {
        let (collected, graves) = self.take_out(candidates, catalog)?;
        drop(graves);
        Ok(collected)
    }

    /// As [`ImageStore::sweep`], but leaves the deleting to the caller. The lock is held for a few at a time, so that
    /// whoever makes a container gets in between.
    pub(crate) fn take_out(&self, candidates: &Referenced, catalog: &Catalog) -> Result<(Collected, Vec<Grave>)> {
        let needed = catalog.referenced();
        let mut graves: Vec<Grave> = Vec::new();
        let mut collected = Collected::default();
        let free_blobs: Vec<&Digest> = candidates.blobs.difference(&needed.blobs).collect();
        let free_layers: Vec<&Digest> = candidates.layers.difference(&needed.layers).collect();
        let lock = || self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        for few in free_blobs.chunks(AT_ONCE) {
            let _collecting = lock();
            for digest in few.iter().filter(|digest| !self.leases.holds(digest)) {
                let size = self.content.size(digest).unwrap_or(0);
                if let Some(grave) = self.content.take_out(digest)? {
                    graves.push(grave);
                    collected.blobs += 1;
                    collected.bytes += size;
                }
            }
        }
        for few in free_layers.chunks(AT_ONCE) {
            let _collecting = lock();
            for diff_id in few.iter().filter(|diff_id| !self.leases.holds(diff_id)) {
                let size = self.layers.info(diff_id).map_or(0, |info| info.size);
                if let Some(grave) = self.layers.take_out(diff_id)? {
                    graves.push(grave);
                    collected.layers += 1;
                    collected.bytes += size;
                }
            }
        }
        Ok((collected, graves))
    }

    /// Keeps blobs and layers, present or not.
    pub(crate) fn lease_all(&self, content: impl IntoIterator<Item = Digest>) -> Lease {
        let _collecting = self.spare_content();
        let mut lease = self.leases.begin();
        content.into_iter().for_each(|digest| lease.hold(digest));
        lease
    }

    pub(crate) fn is_leased(&self, digest: &Digest) -> bool {
        self.leases.holds(digest)
    }

    /// While this is held, no content is taken away.
    pub(crate) fn spare_content(&self) -> RwLockReadGuard<'_, ()> {
        self.collecting.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a blob is present or can be made anew; if so, the lease keeps it.
    pub(crate) fn keep_blob_if_present(&self, lease: &mut Lease, blob: &Digest) -> bool {
        let _collecting = self.spare_content();
        let is_present = self.has_blob(blob);
        if is_present {
            lease.hold(*blob);
        }
        is_present
    }

    /// Whether a layer is present; if so, the lease keeps it.
    pub(crate) fn keep_if_present(&self, lease: &mut Lease, diff_id: &Digest) -> bool {
        let _collecting = self.spare_content();
        let is_present = self.layers.has(diff_id);
        if is_present {
            lease.hold(*diff_id);
        }
        is_present
    }
}
