//! The index in memory: names and ids of all images, rebuilt from `index.json` and replaced as a whole by each change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use wharf_storage::{ContentStore, LayerStore};
use wharf_types::{Digest, Error, Kind, Reference, Result};

use crate::documents::{self, Descriptor, Index, Manifest};
use crate::{Image, ImageDocument, ImageId};

/// The full name of an image, as containerd writes it.
pub(crate) const NAME: &str = "io.containerd.image.name";
/// The name under which other tools find an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The image that this one was made from on this engine.
const PARENT: &str = "io.wharf.image.parent";

/// One line of `index.json`: a manifest, and at most one name for it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub manifest: Descriptor,
    pub name: Option<Reference>,
    pub parent: Option<ImageId>,
}

impl Entry {
    fn read(mut manifest: Descriptor) -> Self {
        let full = manifest.annotations.remove(NAME);
        let short = manifest.annotations.remove(REF_NAME);
        let name = full.or(short).and_then(|name| name.parse().ok());
        let parent = manifest.annotations.remove(PARENT).and_then(|parent| parent.parse().ok());
        Self { manifest, name, parent }
    }

    fn write(&self) -> Descriptor {
        let mut manifest = self.manifest.clone();
        if let Some(name) = &self.name {
            manifest.annotations.insert(NAME.into(), name.to_string());
            manifest.annotations.insert(REF_NAME.into(), name.familiar());
        }
        if let Some(parent) = &self.parent {
            manifest.annotations.insert(PARENT.into(), parent.to_string());
        }
        manifest
    }
}

/// What a manifest and its configuration say; immutable, so it is kept from one catalog to the next.
#[derive(Debug)]
pub(crate) struct Content {
    pub id: ImageId,
    pub manifest: Manifest,
    pub document: Arc<ImageDocument>,
}

impl Content {
    pub(crate) fn read(store: &ContentStore, manifest: &Digest) -> Result<Self> {
        let manifest = documents::manifest(&store.read(manifest, documents::MAX_MANIFEST)?)?;
        let document = documents::image(&store.read(&manifest.config.digest, documents::MAX_CONFIG)?)?;
        Ok(Self { id: manifest.config.digest, manifest, document: Arc::new(document) })
    }
}

/// All images as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub entries: Vec<Entry>,
    contents: HashMap<Digest, Arc<Content>>,
    images: BTreeMap<ImageId, Arc<Image>>,
    names: HashMap<Reference, usize>,
    /// Entries whose manifest or configuration cannot be read, by the manifest's digest.
    pub broken: HashMap<Digest, Error>,
}

impl Catalog {
    pub(crate) fn read(bytes: &[u8], content: &ContentStore, layers: &LayerStore) -> Result<Self> {
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt("index.json of the content store is damaged").caused_by(error))?;
        let entries = index.manifests.into_iter().map(Entry::read).collect();
        Ok(Self::build(entries, &Self::default(), content, layers))
    }

    /// The catalog of other entries; what `self` knows of contents is taken over.
    pub(crate) fn with(&self, entries: Vec<Entry>, content: &ContentStore, layers: &LayerStore) -> Self {
        Self::build(entries, self, content, layers)
    }

    fn build(entries: Vec<Entry>, old: &Self, content: &ContentStore, layers: &LayerStore) -> Self {
        let mut this = Self { entries, ..Self::default() };
        for entry in &this.entries {
            let digest = entry.manifest.digest;
            if this.contents.contains_key(&digest) || this.broken.contains_key(&digest) {
                continue;
            }
            let known = old.contents.get(&digest).cloned().map(Ok);
            match known.unwrap_or_else(|| Content::read(content, &digest).map(Arc::new)) {
                Ok(known) => drop(this.contents.insert(digest, known)),
                Err(error) => drop(this.broken.insert(digest, error)),
            }
        }
        let names = this.entries.iter().enumerate();
        this.names = names.filter_map(|(i, entry)| Some((entry.name.clone()?, i))).collect();
        this.images = this.make_images(old, layers);
        this
    }

    fn make_images(&self, old: &Self, layers: &LayerStore) -> BTreeMap<ImageId, Arc<Image>> {
        let mut by_id: BTreeMap<ImageId, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(content) = self.contents.get(&entry.manifest.digest) {
                by_id.entry(content.id).or_default().push(entry);
            }
        }
        let image = |(id, entries): (ImageId, Vec<&Entry>)| {
            let image = self.make_image(id, &entries, layers);
            let same = old.images.get(&id).filter(|old| old.is_same(&image)).cloned();
            (id, same.unwrap_or_else(|| Arc::new(image)))
        };
        by_id.into_iter().map(image).collect()
    }

    fn make_image(&self, id: ImageId, entries: &[&Entry], layers: &LayerStore) -> Image {
        let content = &self.contents[&entries[0].manifest.digest];
        let diff_ids = &content.document.rootfs.diff_ids;
        let mut names: Vec<Reference> = entries.iter().filter_map(|entry| entry.name.clone()).collect();
        names.sort();
        let (digests, tags) = names.into_iter().partition(|name| name.digest().is_some());
        Image {
            id,
            manifest: entries[0].manifest.clone(),
            tags,
            digests,
            document: content.document.clone(),
            parent: entries.iter().find_map(|entry| entry.parent),
            size: diff_ids.iter().filter_map(|diff_id| Some(layers.info(diff_id).ok()?.size)).sum(),
            layers: layers.stack(diff_ids),
        }
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    pub(crate) fn get(&self, id: &ImageId) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    pub(crate) fn content(&self, manifest: &Digest) -> Option<&Arc<Content>> {
        self.contents.get(manifest)
    }

    pub(crate) fn id_of(&self, entry: &Entry) -> Option<ImageId> {
        Some(self.contents.get(&entry.manifest.digest)?.id)
    }

    /// Whether the image of this manifest cannot be read, and never will be.
    pub(crate) fn is_lost(&self, manifest: &Digest) -> bool {
        let kind = self.broken.get(manifest).map(Error::kind);
        kind.is_some_and(|kind| matches!(kind, Kind::Corrupt | Kind::NotFound))
    }

    /// The image with exactly this name, or with a name in the same repository and this manifest's digest.
    pub(crate) fn by_name(&self, name: &Reference) -> Option<&Arc<Image>> {
        let entry = match name.digest() {
            None => &self.entries[*self.names.get(name)?],
            Some(digest) => self.entries.iter().find(|entry| {
                let is_named = |known: &Reference| {
                    let is_digest = known.digest().map_or(entry.manifest.digest == digest, |known| known == digest);
                    is_digest && (known.domain(), known.path()) == (name.domain(), name.path())
                };
                entry.name.as_ref().is_some_and(is_named)
            })?,
        };
        self.images.get(&self.id_of(entry)?)
    }

    /// The image whose id begins with these hexadecimal digits.
    ///
    /// # Errors
    /// `InvalidParameter` when several do.
    pub(crate) fn by_prefix(&self, prefix: &str) -> Result<Option<&Arc<Image>>> {
        let is_prefix =
            (1..=64).contains(&prefix.len()) && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let Some(first) = is_prefix.then(|| Digest::from_hex(&format!("{prefix:0<64}")).ok()).flatten() else {
            return Ok(None);
        };
        let mut found =
            self.images.range(first..).map(|(_, image)| image).take_while(|i| i.id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Error::invalid(format!("multiple IDs found with provided prefix: {prefix}"))
                .with_hint("give more digits of the id, or a name")),
            (found, _) => Ok(found),
        }
    }

    /// `index.json` for this catalog.
    pub(crate) fn write(entries: &[Entry]) -> Result<Vec<u8>> {
        let index = Index::of(entries.iter().map(Entry::write).collect());
        serde_json::to_vec(&index).map_err(|error| Error::system("cannot write index.json").caused_by(error))
    }

    /// All blobs and layers that some entry refers to.
    pub(crate) fn referenced(&self) -> Referenced {
        let mut referenced = Referenced::default();
        for entry in &self.entries {
            referenced.blobs.insert(entry.manifest.digest);
            if let Some(content) = self.contents.get(&entry.manifest.digest) {
                referenced.add(content);
            }
        }
        referenced
    }
}

/// Blobs by digest and layers by diff id.
#[derive(Debug, Default)]
pub(crate) struct Referenced {
    pub blobs: HashSet<Digest>,
    pub layers: HashSet<Digest>,
}

impl Referenced {
    pub(crate) fn add(&mut self, content: &Content) {
        self.blobs.insert(content.manifest.config.digest);
        self.blobs.extend(content.manifest.layers.iter().map(|layer| layer.digest));
        self.layers.extend(&content.document.rootfs.diff_ids);
    }
}
