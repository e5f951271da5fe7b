//! Images for several platforms under one name: one of them picked, all of them listed.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use wharf_types::{Digest, Error, Platform, Result};

use crate::catalog::Catalog;
use crate::documents::{MAX_MANIFEST, read_document};
use crate::names::find;
use crate::tree::{Content, Document, Tree, is_attestation};
use crate::{Descriptor, Image, ImageId, ImageStore};

/// Which manifest an attestation is about, in the annotations that builders give it.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// Indexes in indexes: at most so many.
const MAX_DEPTH: usize = 4;

/// One manifest of what an image's name means.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// As the index has it, or the manifest itself where there is no index.
    pub descriptor: Descriptor,
    /// What it is.
    pub kind: MemberKind,
    /// Whether everything that it refers to is here or can be had again.
    pub available: bool,
    /// Bytes of its blobs that are here.
    pub content: u64,
}

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// An image.
    Image {
        /// For whom.
        platform: Platform,
        /// The image's id, where its manifest is here.
        id: Option<ImageId>,
        /// Bytes of the files of its layers that are unpacked.
        unpacked: u64,
    },
    /// What a builder attests about a manifest.
    Attestation(Option<Digest>),
    /// Something else, or nobody knows.
    Unknown,
}

impl ImageStore {
    /// The image for a platform that a name (found as by [`ImageStore::resolve`]) means.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, also where there is an image for other platforms only.
    pub fn resolve_for(&self, name: &str, wanted: &Platform) -> Result<Arc<Image>> {
        let catalog = self.catalog();
        let image = find(&catalog, name)?;
        let content = member_for(&catalog, image, name, wanted)?;
        if content.id == image.id {
            return Ok(image.clone());
        }
        let diff_ids = &content.document.rootfs.diff_ids;
        Ok(Arc::new(Image {
            id: content.id,
            manifest: content.descriptor.clone(),
            document: content.document.clone(),
            parent: None,
            size: diff_ids.iter().filter_map(|diff_id| Some(self.layers.info(diff_id).ok()?.size)).sum(),
            layers: self.layers.stack(diff_ids),
            ..(**image).clone()
        }))
    }

    /// All manifests that an image's name leads to, those that are not here included.
    pub fn members(&self, image: &Image) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        self.members_below(&image.target, MAX_DEPTH, &mut members)?;
        Ok(members)
    }

    fn members_below(&self, descriptor: &Descriptor, depth: usize, members: &mut Vec<Member>) -> Result<()> {
        let bytes = match self.content.read(&descriptor.digest, MAX_MANIFEST) {
            Ok(bytes) => bytes,
            Err(_) => {
                members.push(absent(descriptor));
                return Ok(());
            }
        };
        match read_document(&bytes, &descriptor.digest)? {
            Document::Index(index) if depth > 0 => {
                index.manifests.iter().try_for_each(|member| self.members_below(member, depth - 1, members))
            }
            Document::Index(_) => Err(Error::invalid("there are too many indexes within indexes")),
            Document::Manifest(manifest) => {
                let layers = manifest.layers.iter().map(|layer| layer.digest);
                let blobs: HashSet<Digest> = layers.chain([descriptor.digest, manifest.config.digest]).collect();
                let content = blobs.iter().filter_map(|blob| self.content.size(blob).ok()).sum();
                let available = blobs.iter().all(|blob| self.has_blob(blob));
                let kind = self.kind_of(descriptor);
                members.push(Member { descriptor: descriptor.clone(), kind, available, content });
                Ok(())
            }
        }
    }

    fn kind_of(&self, descriptor: &Descriptor) -> MemberKind {
        if is_attestation(descriptor) {
            return absent(descriptor).kind;
        }
        let tree = Tree::read(&self.content, &Descriptor { annotations: Default::default(), ..descriptor.clone() });
        let Some(content) = tree.images.first() else { return absent(descriptor).kind };
        let diff_ids: HashSet<&Digest> = content.document.rootfs.diff_ids.iter().collect();
        let unpacked = diff_ids.iter().filter_map(|diff_id| Some(self.layers.info(diff_id).ok()?.size)).sum();
        let platform = platform_in(descriptor).unwrap_or_else(|| content.platform());
        MemberKind::Image { platform, id: Some(content.id), unpacked }
    }
}

/// The image for a platform among those that are here.
pub(crate) fn member_for<'a>(
    catalog: &'a Catalog,
    image: &Image,
    name: &str,
    wanted: &Platform,
) -> Result<&'a Arc<Content>> {
    let entry = catalog.entries_of(image.id).find(|entry| entry.target.digest == image.target.digest);
    let tree = entry.and_then(|entry| catalog.tree(entry));
    tree.and_then(|tree| tree.choose(Some(wanted))).ok_or_else(|| {
        let error = Error::not_found(format!(
            "image with reference {name} was found but does not provide the specified platform ({wanted})"
        ));
        let known = tree.into_iter().flat_map(|tree| &tree.images).map(|content| content.platform().to_string());
        let known: Vec<String> = known.collect();
        if known.is_empty() { error } else { error.with_hint(format!("here are {}", known.join(", "))) }
    })
}

/// What an index says of a member without the member itself.
fn absent(descriptor: &Descriptor) -> Member {
    let kind = match platform_in(descriptor) {
        _ if is_attestation(descriptor) => {
            let about = descriptor.annotations.get(REFERENCE_DIGEST);
            MemberKind::Attestation(about.and_then(|digest| digest.parse().ok()))
        }
        Some(platform) if platform.os != "unknown" => MemberKind::Image { platform, id: None, unpacked: 0 },
        _ => MemberKind::Unknown,
    };
    Member { descriptor: descriptor.clone(), kind, available: false, content: 0 }
}

/// For whom a member of an index is, as the index says.
pub(crate) fn platform_in(descriptor: &Descriptor) -> Option<Platform> {
    let platform = descriptor.platform.as_ref()?;
    let text = |key: &str| platform.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (os, architecture) = (text("os")?.to_owned(), text("architecture")?.to_owned());
    Some(Platform { os, architecture, variant: text("variant").map(str::to_owned) })
}
