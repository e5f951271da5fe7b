//! What is known of one image.

use std::path::PathBuf;
use std::sync::Arc;

use wharf_types::{Digest, Platform, Reference};

use crate::{Descriptor, ImageConfig, ImageDocument};

/// What Go shows for a time that nobody wrote down.
pub(crate) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// An image's id: the digest of its configuration document.
pub type ImageId = Digest;

/// One image as it was when it was looked up; later changes do not reach it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of the configuration document.
    pub id: ImageId,
    /// What its names mean: the manifest, or the index that it is a member of.
    pub target: Descriptor,
    /// The manifest.
    pub manifest: Descriptor,
    /// The names with tags, sorted. Docker's `RepoTags` are their [`Reference::familiar`] forms.
    pub tags: Vec<Reference>,
    /// The names with digests, sorted: Docker's `RepoDigests`.
    pub digests: Vec<Reference>,
    /// The configuration document, parsed.
    pub document: Arc<ImageDocument>,
    /// The image that this one was committed or built from here, if it is still known.
    pub parent: Option<ImageId>,
    /// Sum of the sizes of all layers' files in bytes, as Docker's `Size`.
    pub size: u64,
    /// The layer folders for overlay, topmost first.
    pub layers: Vec<PathBuf>,
}

impl Image {
    /// How a container runs unless told otherwise.
    pub fn config(&self) -> &ImageConfig {
        &self.document.config
    }

    /// When it was made, RFC 3339; Go's zero time where nobody wrote it down.
    pub fn created(&self) -> &str {
        self.document.created.as_deref().unwrap_or(ZERO_TIME)
    }

    /// For which operating system and processor.
    pub fn platform(&self) -> Platform {
        let variant = Some(self.document.variant.clone()).filter(|variant| !variant.is_empty());
        Platform { os: self.document.os.clone(), architecture: self.document.architecture.clone(), variant }
    }

    /// The layers' digests as uncompressed content, base first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.document.rootfs.diff_ids
    }

    /// The chain ids of the layers, base first: each stands for a layer on top of all those below it (image-spec,
    /// "Layer ChainID").
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::with_capacity(self.diff_ids().len());
        for diff_id in self.diff_ids() {
            let next = chain.last().map_or(*diff_id, |below| Digest::of(format!("{below} {diff_id}").as_bytes()));
            chain.push(next);
        }
        chain
    }

    /// Whether nothing visible differs; the document follows from the id.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.id, self.size, self.parent) == (other.id, other.size, other.parent)
            && (&self.tags, &self.digests) == (&other.tags, &other.digests)
            && (&self.layers, &self.manifest, &self.target) == (&other.layers, &other.manifest, &other.target)
    }

    /// Docker's `RepoTags`.
    pub fn repo_tags(&self) -> Vec<String> {
        self.tags.iter().map(Reference::familiar).collect()
    }

    /// Docker's `RepoDigests`.
    pub fn repo_digests(&self) -> Vec<String> {
        self.digests.iter().map(Reference::familiar).collect()
    }
}

/// One line of `docker history`, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image's id for the newest entry, `None` (Docker: `<missing>`) for others unless a local image is that step.
    pub id: Option<ImageId>,
    /// RFC 3339.
    pub created: String,
    /// The instruction or command.
    pub created_by: String,
    /// Size of the files of the layer in bytes, 0 for steps without a layer.
    pub size: u64,
    /// A note.
    pub comment: String,
    /// The names of `id`.
    pub tags: Vec<String>,
}
