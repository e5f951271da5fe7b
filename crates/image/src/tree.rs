//! What a line of an `index.json` leads to: through nested indexes to images, attestations and other artifacts.
//!
//! The same walk reads a layout within an archive and the store itself.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use wharf_types::{Digest, Error, Platform, Result};

use crate::documents::{self, MAX_CONFIG, MAX_MANIFEST};
use crate::{Descriptor, ImageDocument, ImageId, Index, Manifest, media_type};

/// Indexes in indexes: at most so many.
const MAX_DEPTH: usize = 4;
/// How a builder marks the manifest that holds its attestations about another one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Where documents are read from.
pub(crate) trait Documents {
    /// A whole document of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is missing, damaged or too large; the sentence names it.
    fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>>;

    /// Whether there is such a blob.
    fn has(&self, digest: &Digest) -> bool;
}

/// What a manifest and its configuration say; immutable, so it is kept from one catalog to the next.
#[derive(Debug)]
pub(crate) struct Content {
    pub id: ImageId,
    /// The manifest's own descriptor, without what belongs to the index it came from.
    pub descriptor: Descriptor,
    pub manifest: Manifest,
    pub document: Arc<ImageDocument>,
}

impl Content {
    /// The blobs of the image: manifest, configuration and layers.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        let layers = self.manifest.layers.iter().map(|layer| layer.digest);
        [self.descriptor.digest, self.id].into_iter().chain(layers)
    }

    /// For which operating system and processor.
    pub(crate) fn platform(&self) -> Platform {
        let variant = Some(self.document.variant.clone()).filter(|variant| !variant.is_empty());
        Platform { os: self.document.os.clone(), architecture: self.document.architecture.clone(), variant }
    }
}

/// All that a descriptor leads to.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The images that can be read, in the order of the index.
    pub images: Vec<Arc<Content>>,
    /// Every blob that is referred to, present or not, the descriptor's own included. What a missing member of an index
    /// refers to is not known.
    pub blobs: HashSet<Digest>,
    /// What an artifact is about (distribution-spec, "Referrers").
    pub subject: Option<Digest>,
    /// Why something that should be here cannot be read.
    pub problem: Option<Error>,
}

impl Tree {
    /// Reads all documents below `target`. Members of an index may be missing, as they are after a pull of one platform.
    pub(crate) fn read(documents: &dyn Documents, target: &Descriptor) -> Self {
        let mut tree = Self::default();
        if let Err(error) = tree.add(documents, target, MAX_DEPTH) {
            tree.problem = Some(error);
        }
        tree
    }

    /// Whether this is complete and no image: a signature, a chart, the attestations about something else.
    pub(crate) fn is_artifact(&self) -> bool {
        self.images.is_empty() && self.problem.is_none()
    }

    /// The image with this manifest.
    pub(crate) fn image(&self, manifest: &Digest) -> Option<&Arc<Content>> {
        self.images.iter().find(|image| image.descriptor.digest == *manifest)
    }

    /// The image for a platform; without a wish the host's, or else whichever there is, unless the host's may be the
    /// one that cannot be read.
    pub(crate) fn choose(&self, platform: Option<&Platform>) -> Option<&Arc<Content>> {
        let find = |wanted: &Platform| {
            let same = |image: &&Arc<Content>| image.platform().satisfies(wanted);
            let exact = |image: &&Arc<Content>| image.platform() == *wanted;
            self.images.iter().find(exact).or_else(|| self.images.iter().find(same))
        };
        match platform {
            Some(wanted) => find(wanted),
            None => find(&Platform::host()).or_else(|| self.images.first().filter(|_| self.problem.is_none())),
        }
    }

    fn add(&mut self, documents: &dyn Documents, descriptor: &Descriptor, depth: usize) -> Result<()> {
        self.blobs.insert(descriptor.digest);
        let bytes = documents.document(&descriptor.digest, MAX_MANIFEST)?;
        // Media types are optional and sometimes wrong; the content is not.
        match documents::read_document(&bytes, &descriptor.digest)? {
            Document::Index(_) if depth == 0 => Err(Error::invalid("there are too many indexes within indexes")),
            Document::Index(index) => self.add_index(documents, &index, depth - 1),
            Document::Manifest(manifest) => {
                let size = bytes.len() as u64;
                self.add_manifest(documents, Descriptor { size, ..bare(descriptor) }, *manifest)
            }
        }
    }

    fn add_index(&mut self, documents: &dyn Documents, index: &Index, depth: usize) -> Result<()> {
        self.subject = subject(&index.extra);
        let mut first_problem = None;
        self.blobs.extend(index.manifests.iter().map(|member| member.digest));
        for member in index.manifests.iter().filter(|member| documents.has(&member.digest)) {
            let mut below = Self::default();
            match below.add(documents, member, depth) {
                Ok(()) if is_attestation(member) => below.images.clear(),
                Ok(()) => {}
                Err(error) => drop(first_problem.get_or_insert(error)),
            }
            self.images.append(&mut below.images);
            self.blobs.extend(below.blobs);
        }
        match first_problem {
            Some(error) => Err(error),
            None if self.images.is_empty() && index.manifests.iter().any(|member| !is_attestation(member)) => {
                Err(Error::not_found("an index has no image that is complete here"))
            }
            _ => Ok(()),
        }
    }

    fn add_manifest(&mut self, documents: &dyn Documents, descriptor: Descriptor, manifest: Manifest) -> Result<()> {
        self.subject = subject(&manifest.extra);
        let id = manifest.config.digest;
        let layers = manifest.layers.iter().map(|layer| layer.digest);
        self.blobs.extend(layers.chain([id]));
        if !is_image(&manifest) {
            return Ok(());
        }
        let document = documents::read_config(&documents.document(&id, MAX_CONFIG)?, &id)?;
        check_layers(manifest.layers.len(), &document)?;
        self.images.push(Arc::new(Content { id, descriptor, manifest, document: Arc::new(document) }));
        Ok(())
    }
}

/// A manifest or an index.
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

/// Whether this manifest is of an image rather than of an artifact (image-spec, "Guidelines for Artifact Usage").
fn is_image(manifest: &Manifest) -> bool {
    let is_known =
        matches!(manifest.config.media_type.as_str(), "" | media_type::OCI_CONFIG | media_type::DOCKER_CONFIG);
    let is_typed = manifest.extra.get("artifactType").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty());
    is_known && !is_typed
}

pub(crate) fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.contains_key(REFERENCE_TYPE)
}

fn subject(extra: &serde_json::Map<String, Value>) -> Option<Digest> {
    extra.get("subject")?.get("digest")?.as_str()?.parse().ok()
}

/// The descriptor without what belongs to the index it came from.
pub(crate) fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor { annotations: Default::default(), ..descriptor.clone() }
}

/// Every layer needs its diff id; Docker's words.
pub(crate) fn check_layers(layers: usize, document: &ImageDocument) -> Result<()> {
    let expected = document.rootfs.diff_ids.len();
    if layers == expected {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid manifest, layers length mismatch: expected {expected}, got {layers}")))
}
