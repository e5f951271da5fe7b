//! Prune: many images at once, a few at a time, so that nobody waits for it and everybody sees how far it is.

use std::collections::{HashMap, HashSet};

use wharf_storage::Undertaker;
use wharf_types::{Digest, Result};

use crate::catalog::{Catalog, Referenced, take_images};
use crate::remove::{Usage, is_dangling};
use crate::{Image, ImageId, ImageStore, Removed};

/// So many images go with one writing of `index.json`.
const BATCH: usize = 32;

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// As in a removal.
    pub removed: Vec<Removed>,
    /// Bytes on disk that went: blobs, and the files of layers.
    pub reclaimed: u64,
}

impl ImageStore {
    /// Removes the images for which `wanted` says yes and that no container uses and no other image was made from, then
    /// their untagged parents. `progress` hears of each group that is gone, as long as it says `true`.
    ///
    /// Readers and other writers go on in between, and files are deleted beside it with less claim to a processor; an
    /// interruption leaves whole images only. All is deleted when it returns.
    pub fn prune(
        &self,
        wanted: &dyn Fn(&Image) -> bool,
        usage: Usage<'_>,
        progress: &mut dyn FnMut(&Pruned) -> bool,
    ) -> Result<Pruned> {
        let mut queue: Vec<ImageId> = self.list().iter().rev().map(|image| image.id).collect();
        let mut all = Pruned::default();
        let undertaker = Undertaker::start()?;
        while !queue.is_empty() {
            let done = self.prune_some(&mut queue, wanted, usage, &undertaker)?;
            let goes_on = done.removed.is_empty() || progress(&done);
            all.removed.extend(done.removed);
            all.reclaimed += done.reclaimed;
            if !goes_on {
                break;
            }
        }
        Ok(all)
    }

    /// Takes the next few from the end of the queue.
    fn prune_some(
        &self,
        queue: &mut Vec<ImageId>,
        wanted: &dyn Fn(&Image) -> bool,
        usage: Usage<'_>,
        undertaker: &Undertaker,
    ) -> Result<Pruned> {
        let writer = self.lock_writer();
        let catalog = self.catalog();
        let is_leased = |layer: &Digest| self.is_leased(layer);
        let mut batch = Batch::new(&catalog, usage, &is_leased);
        while batch.gone.len() < BATCH
            && let Some(id) = queue.pop()
        {
            if let Some(image) = catalog.get(&id).filter(|image| wanted(image) && batch.is_free(image)) {
                batch.take(image);
            }
        }
        let Batch { gone, removed, .. } = batch;
        if gone.is_empty() {
            return Ok(Pruned::default());
        }
        let mut garbage = Referenced::default();
        self.change_while_locked(&writer, |catalog, entries| {
            take_images(catalog, entries, &|id| gone.contains(&id), &mut garbage);
            Ok(())
        })?;
        let (collected, graves) = self.take_out(&garbage, &self.catalog())?;
        drop(writer);
        undertaker.delete(graves);
        Ok(Pruned { removed, reclaimed: collected.bytes })
    }
}

/// Images that go together.
struct Batch<'a> {
    catalog: &'a Catalog,
    usage: Usage<'a>,
    is_leased: &'a dyn Fn(&Digest) -> bool,
    /// How many images were made from one, and how many have a chain of layers.
    children: HashMap<ImageId, usize>,
    chains: HashMap<Digest, usize>,
    gone: HashSet<ImageId>,
    removed: Vec<Removed>,
}

impl<'a> Batch<'a> {
    fn new(catalog: &'a Catalog, usage: Usage<'a>, is_leased: &'a dyn Fn(&Digest) -> bool) -> Self {
        let (mut children, mut chains) = (HashMap::new(), HashMap::new());
        for image in catalog.images() {
            image.parent.into_iter().for_each(|parent| *children.entry(parent).or_default() += 1);
            image.chain_ids().into_iter().for_each(|chain| *chains.entry(chain).or_default() += 1);
        }
        Self { catalog, usage, is_leased, children, chains, gone: HashSet::new(), removed: Vec::new() }
    }

    fn is_free(&self, image: &Image) -> bool {
        let has_children = self.children.get(&image.id).is_some_and(|count| *count > 0);
        !has_children && !self.gone.contains(&image.id) && (self.usage)(&image.id).is_empty()
    }

    /// An image, then its parents as far as they have no names and nobody needs them.
    fn take(&mut self, image: &Image) {
        self.gone.insert(image.id);
        self.removed.extend(image.tags.iter().chain(&image.digests).cloned().map(Removed::Untagged));
        self.removed.push(Removed::Deleted(image.id));
        for (chain, diff_id) in image.chain_ids().into_iter().zip(image.diff_ids()).rev() {
            let count = self.chains.entry(chain).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 && !(self.is_leased)(diff_id) {
                self.removed.push(Removed::Deleted(chain));
            }
        }
        let Some(parent) = image.parent.and_then(|parent| self.catalog.get(&parent)) else { return };
        if let Some(count) = self.children.get_mut(&parent.id) {
            *count -= 1;
        }
        if is_dangling(parent) && self.is_free(parent) {
            self.take(parent);
        }
    }
}
