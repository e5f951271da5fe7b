//! The part of a push that needs no network: which documents and blobs an image consists of, and where else the registry
//! may have them.

use std::collections::{HashMap, HashSet};

use wharf_storage::Lease;
use wharf_types::{Digest, Error, Platform, Reference, Result};

use crate::documents::{MAX_MANIFEST, read_document};
use crate::tree::{Content, Document, Tree};
use crate::{Descriptor, ImageId, ImageStore};

/// A document to be put into a registry, exactly as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushDocument {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A blob to be put into a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Of a layer, the digest of its plain content: by it people know it.
    pub diff_id: Option<Digest>,
    /// Another repository of the same registry that has it, as far as is known here.
    pub elsewhere: Option<String>,
}

/// An image to be pushed. As long as this lives, nothing of it is removed.
pub struct PushPlan {
    /// The image.
    pub id: ImageId,
    /// Configurations and layers, in the order of the layers.
    pub blobs: Vec<PushBlob>,
    /// Manifests, and the index as the last one: in this order they must be put.
    pub documents: Vec<PushDocument>,
    /// Keeps everything from collection.
    pub lease: Lease,
}

impl ImageStore {
    /// What a push of `name` takes: all platforms where all are here, or the one that is wished or here.
    pub fn plan_push(&self, name: &Reference, platform: Option<&Platform>) -> Result<PushPlan> {
        let catalog = self.catalog();
        let unknown =
            || Error::not_found(format!("An image does not exist locally with the tag: {}", name.familiar_name()));
        let image = catalog.by_name(name).ok_or_else(unknown)?;
        let of_image = |entry: &&crate::catalog::Entry| entry.name.as_ref() == Some(name);
        let entry = catalog.entries.iter().find(of_image).or_else(|| catalog.entries_of(image.id).next());
        let tree = entry.and_then(|entry| catalog.tree(entry)).ok_or_else(unknown)?;
        let layers = tree.images.iter().flat_map(|image| image.document.rootfs.diff_ids.iter());
        let lease = self.lease_all(tree.blobs.iter().chain(layers).copied());
        let is_whole = || tree.blobs.iter().all(|blob| self.has_blob(blob));
        let chosen = match platform {
            Some(wanted) => Some(tree.choose(Some(wanted)).ok_or_else(|| {
                Error::not_found(format!("image {} has no content for the platform {wanted}", name.familiar()))
            })?),
            None if is_whole() => None,
            None => tree.image(&image.manifest.digest),
        };
        let (documents, mut blobs) = match chosen {
            Some(content) => (vec![self.document(&content.descriptor)?], self.blobs_of(content)?),
            None => self.whole(&image.target, tree)?,
        };
        let elsewhere = catalog_places(&catalog.entries, name, |entry| catalog.tree(entry).map(|tree| &tree.blobs));
        for blob in &mut blobs {
            blob.elsewhere = elsewhere.get(&blob.digest).cloned().or_else(|| self.noted_place(&blob.digest, name));
        }
        Ok(PushPlan { id: image.id, blobs, documents, lease })
    }

    /// The repository of the same registry that had a blob when it was given up.
    fn noted_place(&self, blob: &Digest, name: &Reference) -> Option<String> {
        let is_neighbour = |other: &&Reference| other.domain() == name.domain() && other.path() != name.path();
        Some(self.absent(blob)?.repositories.iter().find(is_neighbour)?.path().to_owned())
    }

    /// Everything below an index or manifest that is here completely.
    fn whole(&self, target: &Descriptor, tree: &Tree) -> Result<(Vec<PushDocument>, Vec<PushBlob>)> {
        let mut documents = Vec::new();
        self.documents_below(target, &mut documents)?;
        let mut blobs: Vec<PushBlob> = Vec::new();
        for content in &tree.images {
            blobs.extend(self.blobs_of(content)?);
        }
        let known: HashSet<Digest> = documents.iter().map(|document| document.digest).collect();
        let listed: HashSet<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        for digest in tree.blobs.iter().filter(|digest| !known.contains(digest) && !listed.contains(digest)) {
            let size = self.content.size(digest)?;
            blobs.push(PushBlob { digest: *digest, size, diff_id: None, elsewhere: None });
        }
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        Ok((documents, blobs))
    }

    fn documents_below(&self, descriptor: &Descriptor, documents: &mut Vec<PushDocument>) -> Result<()> {
        let document = self.document(descriptor)?;
        if let Document::Index(index) = read_document(&document.bytes, &document.digest)? {
            for member in &index.manifests {
                if documents.iter().all(|known| known.digest != member.digest) {
                    self.documents_below(member, documents)?;
                }
            }
        }
        documents.push(document);
        Ok(())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<PushDocument> {
        let bytes = self.content.read(&descriptor.digest, MAX_MANIFEST)?;
        let own = serde_json::from_slice::<serde_json::Value>(&bytes).ok();
        let own = own.and_then(|value| value.get("mediaType")?.as_str().map(str::to_owned));
        let media_type = own.unwrap_or_else(|| descriptor.media_type.clone());
        Ok(PushDocument { media_type, digest: descriptor.digest, bytes })
    }

    fn blobs_of(&self, content: &Content) -> Result<Vec<PushBlob>> {
        let layers = content.manifest.layers.iter().zip(&content.document.rootfs.diff_ids);
        let layers = layers.map(|(layer, diff_id)| (layer.digest, layer.size, Some(*diff_id), layer));
        let config = &content.manifest.config;
        let mut blobs = Vec::new();
        for (digest, size, diff_id, descriptor) in layers.chain([(config.digest, config.size, None, config)]) {
            match self.content.size(&digest) {
                Ok(size) => blobs.push(PushBlob { digest, size, diff_id, elsewhere: None }),
                // What no registry may have is not pushed; its address is in the manifest.
                Err(_) if descriptor.extra.contains_key("urls") => {}
                // The registry may have it still.
                Err(_) if diff_id.is_some() => blobs.push(PushBlob { digest, size, diff_id, elsewhere: None }),
                Err(error) => return Err(error),
            }
        }
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert(blob.digest));
        Ok(blobs)
    }
}

/// In which other repositories of the same registry each blob most likely is.
fn catalog_places<'a>(
    entries: &'a [crate::catalog::Entry],
    name: &Reference,
    blobs: impl Fn(&'a crate::catalog::Entry) -> Option<&'a HashSet<Digest>>,
) -> HashMap<Digest, String> {
    let mut places = HashMap::new();
    for entry in entries {
        let other = entry.name.as_ref().filter(|other| other.domain() == name.domain() && other.path() != name.path());
        // Only a digest shows that the image has been in the registry; a tag alone may be a wish.
        let Some(other) = other.filter(|other| other.digest().is_some()) else { continue };
        for blob in blobs(entry).into_iter().flatten() {
            places.entry(*blob).or_insert_with(|| other.path().to_owned());
        }
    }
    places
}
