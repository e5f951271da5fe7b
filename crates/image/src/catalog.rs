//! The index in memory: names and ids of all images, rebuilt from `index.json` and replaced as a whole by each change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use wharf_storage::{ContentStore, LayerStore};
use wharf_types::{Digest, Error, Kind, Reference, Result};

use crate::documents::{self, Descriptor, Index, MAX_MANIFEST};
use crate::tree::{Content, Documents, Tree};
use crate::{Image, ImageId};

/// The full name of an image, as containerd writes it.
pub(crate) const NAME: &str = "io.containerd.image.name";
/// The name under which other tools find an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The image that this one was made from on this engine.
const PARENT: &str = "io.wharf.image.parent";
/// Which manifest of an index is meant, where it is not the one that the host would choose.
const CHOSEN: &str = "io.wharf.image.manifest";

/// One line of `index.json`: a manifest or an index, and at most one name for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The manifest, or the index of several platforms.
    pub target: Descriptor,
    /// Of an index, the manifest that is meant; the host's where it is `None`.
    pub chosen: Option<Digest>,
    pub name: Option<Reference>,
    pub parent: Option<ImageId>,
}

impl Entry {
    /// A line for the image of this manifest, which may be a member of the index `target`.
    pub(crate) fn new(target: Descriptor, manifest: &Digest) -> Self {
        let chosen = (target.digest != *manifest).then_some(*manifest);
        Self { target, chosen, name: None, parent: None }
    }

    fn read(mut target: Descriptor) -> Self {
        let full = target.annotations.remove(NAME);
        let short = target.annotations.remove(REF_NAME);
        let name = full.or(short).and_then(|name| name.parse().ok());
        let parent = target.annotations.remove(PARENT).and_then(|parent| parent.parse().ok());
        let chosen = target.annotations.remove(CHOSEN).and_then(|manifest| manifest.parse().ok());
        Self { target, chosen, name, parent }
    }

    fn write(&self) -> Descriptor {
        let mut target = self.target.clone();
        let mut note = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                target.annotations.insert(key.into(), value);
            }
        };
        note(NAME, self.name.as_ref().map(ToString::to_string));
        note(REF_NAME, self.name.as_ref().map(Reference::familiar));
        note(PARENT, self.parent.as_ref().map(ToString::to_string));
        note(CHOSEN, self.chosen.as_ref().map(ToString::to_string));
        target
    }

    /// Whether both mean the same image.
    pub(crate) fn is_of_same_image(&self, other: &Self) -> bool {
        (&self.target.digest, &self.chosen) == (&other.target.digest, &other.chosen)
    }
}

/// What an entry stands for, without its name.
type Meaning = (Digest, Option<Digest>);

fn meaning(entry: &Entry) -> Meaning {
    (entry.target.digest, entry.chosen)
}

impl Documents for ContentStore {
    fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        self.read(digest, limit)
    }

    fn has(&self, digest: &Digest) -> bool {
        ContentStore::has(self, digest)
    }
}

/// All images as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub entries: Vec<Entry>,
    trees: HashMap<Digest, Arc<Tree>>,
    images: BTreeMap<ImageId, Arc<Image>>,
    names: HashMap<Reference, usize>,
    /// Entries that are images but cannot be used.
    broken: HashMap<Meaning, Error>,
}

impl Catalog {
    pub(crate) fn read(bytes: &[u8], content: &ContentStore, layers: &LayerStore) -> Result<Self> {
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt("index.json of the content store is damaged").caused_by(error))?;
        let entries = index.manifests.into_iter().map(Entry::read).collect();
        Ok(Self::build(entries, &Self::default(), &HashSet::new(), content, layers))
    }

    /// The catalog of what can be found without a whole `index.json`: the lines of it that can still be read, and the
    /// manifests among the blobs that no other document refers to.
    pub(crate) fn salvage(damaged: &[u8], content: &ContentStore, layers: &LayerStore) -> Result<Self> {
        let mut entries: Vec<Entry> = descriptors_in(damaged).into_iter().map(Entry::read).collect();
        let mut blobs = content.list()?;
        blobs.retain(|blob| blob.size <= MAX_MANIFEST);
        let mut found: Vec<(Descriptor, Tree)> = Vec::new();
        for blob in blobs {
            let target = Descriptor::new("", blob);
            let tree = Tree::read(content, &target);
            if tree.problem.is_none() && tree.blobs.len() > 1 {
                found.push((target, tree));
            }
        }
        let referred: HashSet<Digest> = found
            .iter()
            .flat_map(|(target, tree)| tree.blobs.iter().filter(|blob| **blob != target.digest))
            .copied()
            .collect();
        for (mut target, _) in found.into_iter().filter(|(target, _)| !referred.contains(&target.digest)) {
            target.media_type = documents::media_type_of(&content.read(&target.digest, MAX_MANIFEST)?);
            if !entries.iter().any(|entry| entry.target.digest == target.digest) {
                entries.push(Entry { target, chosen: None, name: None, parent: None });
            }
        }
        Ok(Self::build(entries, &Self::default(), &HashSet::new(), content, layers))
    }

    /// The catalog of other entries; what `self` knows is taken over, except about blobs that came `anew`.
    pub(crate) fn with(
        &self,
        entries: Vec<Entry>,
        anew: &HashSet<Digest>,
        content: &ContentStore,
        layers: &LayerStore,
    ) -> Self {
        Self::build(entries, self, anew, content, layers)
    }

    fn build(
        entries: Vec<Entry>,
        old: &Self,
        anew: &HashSet<Digest>,
        content: &ContentStore,
        layers: &LayerStore,
    ) -> Self {
        let mut this = Self { entries, ..Self::default() };
        for entry in &this.entries {
            let is_known = |tree: &&Arc<Tree>| tree.problem.is_none() && tree.blobs.is_disjoint(anew);
            this.trees.entry(entry.target.digest).or_insert_with(|| {
                let known = old.trees.get(&entry.target.digest).filter(is_known).cloned();
                known.unwrap_or_else(|| Arc::new(Tree::read(content, &entry.target)))
            });
        }
        this.broken =
            this.entries.iter().filter_map(|entry| Some((meaning(entry), this.defect(entry, layers)?))).collect();
        let names = this.entries.iter().enumerate();
        this.names = names.filter_map(|(i, entry)| Some((entry.name.clone()?, i))).collect();
        this.images = this.make_images(old, layers);
        this
    }

    /// Why an entry cannot be used, if it cannot.
    fn defect(&self, entry: &Entry, layers: &LayerStore) -> Option<Error> {
        let tree = &self.trees[&entry.target.digest];
        let Some(content) = self.meant(entry) else {
            let problem = tree.problem.as_ref().map(|problem| Error::new(problem.kind(), problem.chain()));
            let lost = || Error::not_found("the image for the chosen platform is not in the store");
            return problem.or_else(|| (!tree.is_artifact() || entry.chosen.is_some()).then(lost));
        };
        content.document.rootfs.diff_ids.iter().find_map(|diff_id| layers.info(diff_id).err())
    }

    /// The image that an entry means, usable or not.
    pub(crate) fn meant(&self, entry: &Entry) -> Option<&Arc<Content>> {
        let tree = self.trees.get(&entry.target.digest)?;
        match &entry.chosen {
            Some(manifest) => tree.image(manifest),
            None => tree.choose(None),
        }
    }

    fn make_images(&self, old: &Self, layers: &LayerStore) -> BTreeMap<ImageId, Arc<Image>> {
        let mut by_id: BTreeMap<ImageId, Vec<&Entry>> = BTreeMap::new();
        for entry in &self.entries {
            if let Some(content) = self.content_of(entry) {
                by_id.entry(content.id).or_default().push(entry);
            }
        }
        let image = |(id, entries): (ImageId, Vec<&Entry>)| {
            let image = self.make_image(id, &entries, layers)?;
            let same = old.images.get(&id).filter(|old| old.is_same(&image)).cloned();
            Some((id, same.unwrap_or_else(|| Arc::new(image))))
        };
        by_id.into_iter().filter_map(image).collect()
    }

    fn make_image(&self, id: ImageId, entries: &[&Entry], layers: &LayerStore) -> Option<Image> {
        let content = self.meant(entries[0])?;
        let diff_ids = &content.document.rootfs.diff_ids;
        let mut names: Vec<Reference> = entries.iter().filter_map(|entry| entry.name.clone()).collect();
        names.sort();
        let (digests, tags) = names.into_iter().partition(|name| name.digest().is_some());
        Some(Image {
            id,
            target: entries[0].target.clone(),
            manifest: content.descriptor.clone(),
            tags,
            digests,
            document: content.document.clone(),
            parent: entries.iter().find_map(|entry| entry.parent),
            size: diff_ids.iter().filter_map(|diff_id| Some(layers.info(diff_id).ok()?.size)).sum(),
            layers: layers.stack(diff_ids),
        })
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }

    pub(crate) fn get(&self, id: &ImageId) -> Option<&Arc<Image>> {
        self.images.get(id)
    }

    /// What an entry's image consists of; `None` when it is broken or no image.
    pub(crate) fn content_of(&self, entry: &Entry) -> Option<&Arc<Content>> {
        if self.broken.contains_key(&meaning(entry)) { None } else { self.meant(entry) }
    }

    pub(crate) fn id_of(&self, entry: &Entry) -> Option<ImageId> {
        Some(self.content_of(entry)?.id)
    }

    /// All that an entry leads to.
    pub(crate) fn tree(&self, entry: &Entry) -> Option<&Arc<Tree>> {
        self.trees.get(&entry.target.digest)
    }

    /// All layers of all images that can be read: blob and diff id.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (Digest, Digest)> {
        let images = self.trees.values().flat_map(|tree| &tree.images);
        images.flat_map(|image| {
            let blobs = image.manifest.layers.iter().map(|layer| layer.digest);
            blobs.zip(image.document.rootfs.diff_ids.iter().copied())
        })
    }

    /// The manifests and indexes that something may be about: those that an entry consists of.
    fn subjects_in(&self, entry: &Entry) -> impl Iterator<Item = Digest> {
        let members = self.tree(entry).into_iter().flat_map(|tree| &tree.images).map(|image| image.descriptor.digest);
        members.chain([entry.target.digest])
    }

    /// The entries of an image.
    pub(crate) fn entries_of(&self, id: ImageId) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| self.id_of(entry) == Some(id))
    }

    /// Why the image of an entry cannot be used.
    pub(crate) fn problem(&self, entry: &Entry) -> Option<&Error> {
        self.broken.get(&meaning(entry))
    }

    /// Whether something cannot be read, so that nobody knows what it refers to.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.trees.values().any(|tree| tree.problem.is_some())
    }

    /// Whether the image of an entry cannot be used, and never will be.
    pub(crate) fn is_lost(&self, entry: &Entry) -> bool {
        let kind = self.problem(entry).map(Error::kind);
        kind.is_some_and(|kind| matches!(kind, Kind::Corrupt | Kind::NotFound))
    }

    /// The image with exactly this name, or with a name in the same repository and this manifest's digest.
    pub(crate) fn by_name(&self, name: &Reference) -> Option<&Arc<Image>> {
        let entry = match name.digest() {
            None => &self.entries[*self.names.get(name)?],
            Some(digest) => self.entries.iter().find(|entry| {
                let is_named = |known: &Reference| {
                    let own = [Some(entry.target.digest), self.meant(entry).map(|content| content.descriptor.digest)];
                    let is_digest = known.digest().map_or(own.contains(&Some(digest)), |known| known == digest);
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
        self.entries.iter().filter_map(|entry| self.tree(entry)).for_each(|tree| referenced.add(tree));
        referenced
    }
}

/// The descriptors that can be read in a damaged document.
fn descriptors_in(damaged: &[u8]) -> Vec<Descriptor> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = damaged.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'{')) {
        at += start;
        let mut stream = serde_json::Deserializer::from_slice(&damaged[at..]).into_iter::<Descriptor>();
        match stream.next() {
            Some(Ok(descriptor)) => {
                at += stream.byte_offset();
                found.push(descriptor);
            }
            _ => at += 1,
        }
    }
    found
}

/// Blobs by digest and layers by diff id.
#[derive(Debug, Default)]
pub(crate) struct Referenced {
    pub blobs: HashSet<Digest>,
    pub layers: HashSet<Digest>,
}

impl Referenced {
    pub(crate) fn add(&mut self, tree: &Tree) {
        self.blobs.extend(&tree.blobs);
        self.layers.extend(tree.images.iter().flat_map(|image| &image.document.rootfs.diff_ids));
    }
}

/// Takes the entries of some images away, with artifacts that were about nothing else, and notes what they referred to.
pub(crate) fn take_images(
    catalog: &Catalog,
    entries: &mut Vec<Entry>,
    is_gone: &dyn Fn(ImageId) -> bool,
    garbage: &mut Referenced,
) {
    let mut take = |entries: &mut Vec<Entry>, is_gone: &dyn Fn(&Entry, &Referenced) -> bool| {
        let before = entries.len();
        entries.retain(|entry| {
            let goes = is_gone(entry, garbage);
            catalog.tree(entry).into_iter().filter(|_| goes).for_each(|tree| garbage.add(tree));
            !goes
        });
        entries.len() < before
    };
    take(entries, &|entry, _| catalog.id_of(entry).is_some_and(is_gone));
    // What is about an artifact goes with it.
    loop {
        let kept: HashSet<Digest> = entries.iter().flat_map(|entry| catalog.subjects_in(entry)).collect();
        let is_orphan = |entry: &Entry, garbage: &Referenced| {
            let subject = catalog.tree(entry).filter(|tree| tree.is_artifact()).and_then(|tree| tree.subject);
            entry.name.is_none() && subject.is_some_and(|of| garbage.blobs.contains(&of) && !kept.contains(&of))
        };
        if !take(entries, &is_orphan) {
            return;
        }
    }
}
