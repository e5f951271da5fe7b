//! The image store: names, lookup, tags and collection.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use wharf_storage::{ContentStore, LayerStore, Lease, Leases, StagedBlob, StagedLayer};
use wharf_types::{Digest, Error, Platform, Reference, Result, ResultExt};

use crate::catalog::{Catalog, Entry};
use crate::names::{drop_name, find, no_such_image, set_name};
use crate::{HistoryEntry, Image, ImageId};

/// All images of an engine.
///
/// Every method takes `&self`; reading is answered from memory and never waits for a write.
///
/// Locks, in the order in which they are taken: `writer` (one change at a time), `collecting` (shared by whoever makes
/// content present and then refers to it, exclusive for whoever takes content away), `catalog` (for a moment only).
pub struct ImageStore {
    pub(crate) content: ContentStore,
    pub(crate) layers: LayerStore,
    pub(crate) leases: Leases,
    catalog: RwLock<Arc<Catalog>>,
    /// What was wrong with `index.json` when it was read, as long as it was not written anew.
    index_problem: Mutex<Option<String>>,
    writer: Mutex<()>,
    pub(crate) collecting: RwLock<()>,
}

/// An image that `index.json` names but that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenImage {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// Its names.
    pub names: Vec<Reference>,
    /// Why.
    pub reason: String,
}

impl ImageStore {
    /// Opens `root/content` and `root/layers`, making what is missing, and reads all names and configurations.
    ///
    /// Removes half-written files but collects nothing: call [`ImageStore::collect`] after taking leases for containers.
    /// An image that cannot be read does not keep the others from working: see [`ImageStore::broken`]. Where
    /// `index.json` is damaged, the images are found by their manifests; names that cannot be read are lost.
    pub fn open(root: &Path) -> Result<Self> {
        let content = ContentStore::open(&root.join("content")).context("cannot open the content store")?;
        let layers = LayerStore::open(&root.join("layers")).context("cannot open the layer store")?;
        let index = content.read_index()?;
        let (catalog, problem) = match Catalog::read(&index, &content, &layers) {
            Ok(catalog) => (catalog, None),
            Err(error) => {
                content.keep_damaged_index(&index)?;
                (Catalog::salvage(&index, &content, &layers)?, Some(error.chain()))
            }
        };
        Ok(Self {
            content,
            layers,
            leases: Leases::default(),
            catalog: RwLock::new(Arc::new(catalog)),
            index_problem: Mutex::new(problem),
            writer: Mutex::default(),
            collecting: RwLock::default(),
        })
    }

    /// The blobs.
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// The unpacked layers.
    pub fn layers(&self) -> &LayerStore {
        &self.layers
    }

    /// Finds an image by `name[:tag][@digest]`, full id or unique prefix of an id, with or without `sha256:`.
    ///
    /// # Errors
    /// `NotFound` ("No such image: x:latest"), or `InvalidParameter` for a prefix of several ids or what can be
    /// neither a name nor an id.
    pub fn resolve(&self, name: &str) -> Result<Arc<Image>> {
        find(&self.catalog(), name).cloned()
    }

    /// [`ImageStore::resolve`] and [`ImageStore::lease`] in one step, so that no removal comes between.
    pub fn resolve_leased(&self, name: &str) -> Result<(Arc<Image>, Lease)> {
        let _collecting = self.spare_content();
        let image = self.resolve(name)?;
        let lease = self.lease_of(&image);
        Ok((image, lease))
    }

    /// The image with this id.
    pub fn get(&self, id: &ImageId) -> Option<Arc<Image>> {
        self.catalog().get(id).cloned()
    }

    /// All images, newest first.
    pub fn list(&self) -> Vec<Arc<Image>> {
        let mut images: Vec<_> = self.catalog().images().cloned().collect();
        let created = |image: &Image| image.created().parse::<jiff::Timestamp>().ok();
        images.sort_by_cached_key(|image| std::cmp::Reverse((created(image), image.id)));
        images
    }

    /// What `index.json` names but cannot be used.
    pub fn broken(&self) -> Vec<BrokenImage> {
        let catalog = self.catalog();
        let mut broken: Vec<BrokenImage> = Vec::new();
        for entry in &catalog.entries {
            let Some(problem) = catalog.problem(entry) else { continue };
            let manifest = entry.chosen.unwrap_or(entry.target.digest);
            let names = entry.name.clone().into_iter();
            match broken.iter_mut().find(|known| known.manifest == manifest) {
                Some(known) => known.names.extend(names),
                None => broken.push(BrokenImage { manifest, names: names.collect(), reason: problem.chain() }),
            }
        }
        broken
    }

    /// The exact bytes of an image's configuration document.
    pub fn config_bytes(&self, id: &ImageId) -> Result<Vec<u8>> {
        self.content.read(id, crate::documents::MAX_CONFIG)
    }

    /// How an image was made, newest step first.
    ///
    /// Of an image for several platforms, the one for `platform` where one is wished.
    pub fn history(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<HistoryEntry>> {
        let image = match platform {
            Some(platform) => &self.resolve_for(name, platform)?,
            None => &self.resolve(name)?,
        };
        let catalog = self.catalog();
        let mut sizes = image.diff_ids().iter().map(|id| self.layers.info(id).map_or(0, |info| info.size));
        let mut entries: Vec<HistoryEntry> = image
            .document
            .history
            .iter()
            .map(|step| HistoryEntry {
                id: None,
                created: step.created.clone().unwrap_or_else(|| crate::image::ZERO_TIME.to_owned()),
                created_by: step.created_by.clone(),
                size: if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: step.comment.clone(),
                tags: Vec::new(),
            })
            .collect();
        entries.reverse();
        let ancestors = std::iter::successors(Some(image), |image| catalog.get(image.parent.as_ref()?));
        for (entry, ancestor) in entries.iter_mut().zip(ancestors) {
            entry.id = Some(ancestor.id);
            entry.tags = ancestor.repo_tags();
        }
        Ok(entries)
    }

    /// Gives an image (found as by [`ImageStore::resolve`]) one more name, taking it from whichever image had it.
    pub fn tag(&self, image: &str, target: &Reference) -> Result<ImageId> {
        if target.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        let target = target.clone().or_latest();
        self.change(|catalog, entries| {
            let image = find(catalog, image)?;
            let entry = Entry::new(image.target.clone(), &image.manifest.digest);
            set_name(entries, Entry { parent: image.parent, ..entry }, &target);
            Ok(image.id)
        })
    }

    /// Takes away a name but never content: an image without names stays as a dangling one.
    pub fn untag(&self, name: &Reference) -> Result<()> {
        let name = name.clone().or_latest();
        self.change(|catalog, entries| {
            let id = catalog.by_name(&name).ok_or_else(|| no_such_image(&name.familiar()))?.id;
            drop_name(catalog, entries, &name, id);
            Ok(())
        })
    }

    /// Makes content durable and present, then the names that refer to it: in this order, so that after a crash
    /// there is garbage at worst.
    pub(crate) fn commit_content<T>(
        &self,
        blobs: Vec<StagedBlob>,
        layers: Vec<StagedLayer>,
        change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>,
    ) -> Result<T> {
        let syncs_all = !layers.is_empty() && self.layers.shares_disk(&self.content)?;
        if !layers.is_empty() {
            self.layers.sync()?;
        }
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let collecting = self.spare_content();
        let anew = blobs.iter().map(|blob| blob.info().digest).collect();
        match syncs_all {
            true => self.content.publish_synced(blobs)?,
            false => self.content.publish(blobs)?,
        }
        self.layers.publish_synced(layers)?;
        let result = self.change_locked(&anew, change);
        drop(collecting);
        drop(writer);
        result
    }

    /// Changes names: computes the new entries, writes `index.json`, then shows the new catalog to readers.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>) -> Result<T> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.change_locked(&HashSet::new(), change)
    }

    fn change_locked<T>(
        &self,
        anew: &HashSet<Digest>,
        change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>,
    ) -> Result<T> {
        let old = self.catalog();
        let mut entries = old.entries.clone();
        let result = change(&old, &mut entries)?;
        // A broken image without a name can be neither used nor asked for.
        entries.retain(|entry| entry.name.is_some() || !old.is_lost(entry));
        if entries != old.entries || self.index_problem().is_some() {
            self.content.replace_index(&Catalog::write(&entries)?)?;
            *self.index_problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.show(Arc::new(old.with(entries, anew, &self.content, &self.layers)));
        Ok(result)
    }

    /// Lets readers see a new catalog.
    pub(crate) fn show(&self, catalog: Arc<Catalog>) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }

    /// Why `index.json` could not be read, where it was not written since.
    pub(crate) fn index_problem(&self) -> Option<String> {
        self.index_problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes `index.json` as it should be.
    pub(crate) fn write_index(&self) -> Result<()> {
        self.change(|_, _| Ok(()))
    }

    pub(crate) fn lock_writer(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what names mean now that a manifest is gone or `anew`, for a caller that holds [`ImageStore::lock_writer`].
    pub(crate) fn change_members(
        &self,
        _writer: &std::sync::MutexGuard<'_, ()>,
        anew: Digest,
        change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<()>,
    ) -> Result<()> {
        self.change_locked(&HashSet::from([anew]), change)
    }

    /// As [`ImageStore::change`] for a caller that holds [`ImageStore::lock_writer`].
    pub(crate) fn change_while_locked<T>(
        &self,
        _writer: &std::sync::MutexGuard<'_, ()>,
        change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>,
    ) -> Result<T> {
        self.change_locked(&HashSet::new(), change)
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
