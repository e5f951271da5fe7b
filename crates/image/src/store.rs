//! The image store: names, lookup, tags and collection.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use wharf_storage::{ContentStore, Grave, LayerStore, Lease, Leases, StagedBlob, StagedLayer};
use wharf_types::{DEFAULT_TAG, Digest, Error, Kind, Reference, Result, ResultExt};

use crate::catalog::{Catalog, Content, Entry, Referenced};
use crate::{Descriptor, HistoryEntry, Image, ImageId};

/// All images of an engine.
///
/// Every method takes `&self`; reading is answered from memory and never waits for a write.
///
/// Locks, in the order in which they are taken: `writer` (one change at a time), `collecting` (shared by whoever makes
/// content present and then refers to it, exclusive for whoever takes content away), `catalog` (for a moment only).
pub struct ImageStore {
    pub(crate) content: ContentStore,
    pub(crate) layers: LayerStore,
    leases: Leases,
    catalog: RwLock<Arc<Catalog>>,
    writer: Mutex<()>,
    collecting: RwLock<()>,
}

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
    /// An image that cannot be read does not keep the others from working: see [`ImageStore::broken`].
    pub fn open(root: &Path) -> Result<Self> {
        let content = ContentStore::open(&root.join("content")).context("cannot open the content store")?;
        let layers = LayerStore::open(&root.join("layers")).context("cannot open the layer store")?;
        let catalog = Catalog::read(&content.read_index()?, &content, &layers)?;
        Ok(Self {
            content,
            layers,
            leases: Leases::default(),
            catalog: RwLock::new(Arc::new(catalog)),
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
        let names = |manifest: &Digest| {
            let same = catalog.entries.iter().filter(|entry| entry.manifest.digest == *manifest);
            same.filter_map(|entry| entry.name.clone()).collect()
        };
        let broken = catalog.broken.iter();
        broken.map(|(m, error)| BrokenImage { manifest: *m, names: names(m), reason: error.chain() }).collect()
    }

    /// The exact bytes of an image's configuration document.
    pub fn config_bytes(&self, id: &ImageId) -> Result<Vec<u8>> {
        self.content.read(id, crate::documents::MAX_CONFIG)
    }

    /// How an image was made, newest step first.
    pub fn history(&self, name: &str) -> Result<Vec<HistoryEntry>> {
        let catalog = self.catalog();
        let image = find(&catalog, name)?;
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
            set_name(entries, &image.manifest, &target, image.parent);
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

    /// Keeps the layers of an image from collection until the lease is dropped. Take one for every container, running
    /// or not: its image may be removed with force while the container lives on.
    pub fn lease(&self, image: &Image) -> Lease {
        let _collecting = self.spare_content();
        self.lease_of(image)
    }

    fn lease_of(&self, image: &Image) -> Lease {
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
    /// Layers stay when some image is broken, for nobody knows then which are its own.
    pub fn collect(&self) -> Result<Collected> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = self.catalog();
        let blobs = self.content.list()?.into_iter().map(|blob| blob.digest);
        let layers = if catalog.broken.is_empty() { self.layers.list()? } else { Vec::new() };
        let garbage = Referenced { blobs: blobs.collect(), layers: layers.into_iter().collect() };
        self.sweep(&garbage, &catalog)
    }

    /// Removes those of the candidates that nobody needs. They vanish under the lock and are deleted after it.
    pub(crate) fn sweep(&self, candidates: &Referenced, catalog: &Catalog) -> Result<Collected> {
        let needed = catalog.referenced();
        let mut graves: Vec<Grave> = Vec::new();
        let mut collected = Collected::default();
        let collecting = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        let is_free = |digest: &&Digest| !self.leases.holds(digest);
        for digest in candidates.blobs.difference(&needed.blobs).filter(is_free) {
            let size = self.content.size(digest).unwrap_or(0);
            if let Some(grave) = self.content.take_out(digest)? {
                graves.push(grave);
                collected.blobs += 1;
                collected.bytes += size;
            }
        }
        for diff_id in candidates.layers.difference(&needed.layers).filter(is_free) {
            let size = self.layers.info(diff_id).map_or(0, |info| info.size);
            if let Some(grave) = self.layers.take_out(diff_id)? {
                graves.push(grave);
                collected.layers += 1;
                collected.bytes += size;
            }
        }
        drop(collecting);
        drop(graves);
        Ok(collected)
    }

    /// Keeps everything of an image.
    pub(crate) fn lease_blobs(&self, content: &Content, image: &Image) -> Lease {
        let _collecting = self.spare_content();
        let mut lease = self.lease_of(image);
        let layers = content.manifest.layers.iter().map(|layer| layer.digest);
        layers.chain([content.id, image.manifest.digest]).for_each(|blob| lease.hold(blob));
        lease
    }

    pub(crate) fn is_leased(&self, digest: &Digest) -> bool {
        self.leases.holds(digest)
    }

    /// While this is held, no content is taken away.
    fn spare_content(&self) -> RwLockReadGuard<'_, ()> {
        self.collecting.read().unwrap_or_else(PoisonError::into_inner)
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
        match syncs_all {
            true => self.content.publish_synced(blobs)?,
            false => self.content.publish(blobs)?,
        }
        self.layers.publish_synced(layers)?;
        let result = self.change_locked(change);
        drop(collecting);
        drop(writer);
        result
    }

    /// Changes names: computes the new entries, writes `index.json`, then shows the new catalog to readers.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>) -> Result<T> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.change_locked(change)
    }

    fn change_locked<T>(&self, change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>) -> Result<T> {
        let old = self.catalog();
        let mut entries = old.entries.clone();
        let result = change(&old, &mut entries)?;
        // A broken image without a name can be neither used nor asked for.
        entries.retain(|entry| entry.name.is_some() || !old.is_lost(&entry.manifest.digest));
        self.content.replace_index(&Catalog::write(&entries)?)?;
        let new = Arc::new(old.with(entries, &self.content, &self.layers));
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(result)
    }

    pub(crate) fn lock_writer(&self) -> std::sync::MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`ImageStore::change`] for a caller that holds [`ImageStore::lock_writer`].
    pub(crate) fn change_while_locked<T>(
        &self,
        _writer: &std::sync::MutexGuard<'_, ()>,
        change: impl FnOnce(&Catalog, &mut Vec<Entry>) -> Result<T>,
    ) -> Result<T> {
        self.change_locked(change)
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Docker's order: a name first, then an id.
pub(crate) fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Arc<Image>> {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    if let Ok(id) = Digest::from_hex(digits) {
        return catalog.get(&id).ok_or_else(|| no_such_image(&id.to_string()));
    }
    let reference = name.parse::<Reference>();
    if let Ok(reference) = &reference
        && let Some(image) = catalog.by_name(&reference.clone().or_latest())
    {
        return Ok(image);
    }
    match (catalog.by_prefix(digits)?, reference) {
        (Some(image), _) => Ok(image),
        (None, Ok(reference)) => Err(no_such_image(&reference.or_latest().familiar())),
        (None, Err(error)) => Err(Error::new(Kind::InvalidParameter, error.to_string())
            .with_hint(format!("a name looks like [registry/]repository[:tag], for instance debian:{DEFAULT_TAG}"))),
    }
}

/// Docker's words.
fn no_such_image(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// Whether `name` means an image by its id rather than by a name.
pub(crate) fn is_id(catalog: &Catalog, name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let is_name = name.parse::<Reference>().is_ok_and(|name| catalog.by_name(&name.or_latest()).is_some());
    Digest::from_hex(digits).is_ok() || !is_name
}

/// Makes `name` mean this manifest. An image that loses its last name stays as a dangling one.
pub(crate) fn set_name(entries: &mut Vec<Entry>, manifest: &Descriptor, name: &Reference, parent: Option<ImageId>) {
    if let Some(old) = entries.iter_mut().find(|entry| entry.name.as_ref() == Some(name)) {
        old.name = None;
    }
    entries.push(Entry { manifest: manifest.clone(), name: Some(name.clone()), parent });
    drop_needless(entries);
}

/// Takes a name away from an image.
pub(crate) fn drop_name(catalog: &Catalog, entries: &mut Vec<Entry>, name: &Reference, id: ImageId) {
    for entry in entries.iter_mut().filter(|entry| catalog.id_of(entry) == Some(id)) {
        if entry.name.as_ref() == Some(name) {
            entry.name = None;
        }
    }
    drop_needless(entries);
}

/// An entry without a name is there only to keep a manifest that no other entry keeps.
pub(crate) fn drop_needless(entries: &mut Vec<Entry>) {
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    let (named, nameless): (Vec<Entry>, Vec<Entry>) = entries.drain(..).partition(|entry| entry.name.is_some());
    kept.extend(named);
    for entry in nameless {
        if kept.iter().all(|other| other.manifest.digest != entry.manifest.digest) {
            kept.push(entry);
        }
    }
    *entries = kept;
}
