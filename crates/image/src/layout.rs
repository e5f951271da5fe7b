//! The images of an OCI layout within an archive: from `index.json` through nested indexes to manifests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use wharf_types::{Digest, Error, Platform, Reference, Result, ResultExt};

use crate::archive::{Archive, BLOBS, read_small};
use crate::catalog::{NAME, REF_NAME};
use crate::documents::MAX_MANIFEST;
use crate::tree::{Content, Documents, Tree, bare, is_attestation};
use crate::{Descriptor, ImageDocument, Index};

/// An image of an archive: everything that is needed to add it.
pub(crate) struct Planned {
    /// What the names will mean: a manifest or an index, without names.
    pub target: Descriptor,
    /// The manifest's digest: the target's own, or that of a member.
    pub manifest: Digest,
    /// The manifest itself where the archive has none.
    pub new_manifest: Option<Vec<u8>>,
    pub config: Digest,
    pub document: ImageDocument,
    /// The blobs of the layers, base first.
    pub layers: Vec<Descriptor>,
    pub names: Vec<Reference>,
    /// What else belongs to the target, as far as the archive has it: other platforms, attestations.
    pub blobs: HashSet<Digest>,
}

/// A thing of an archive that is no image: a signature, a chart, attestations.
pub(crate) struct Artifact {
    pub target: Descriptor,
    pub name: Option<Reference>,
    pub blobs: HashSet<Digest>,
}

/// What a layout holds.
pub(crate) struct Layout {
    lines: Vec<(Descriptor, Tree)>,
}

impl Documents for Archive {
    fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let name = format!("{BLOBS}{}", digest.hex());
        let unreadable = || format!("cannot read member {name} of the archive");
        read_small(self.blob(digest)?, limit).with_context(unreadable)
    }

    fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).is_ok()
    }
}

impl Layout {
    /// Reads `index.json` and all documents that it leads to.
    pub(crate) fn read(archive: &Archive) -> Result<Self> {
        let index: Index = archive.json("index.json", MAX_MANIFEST)?;
        let lines = index.manifests.into_iter().filter(|line| !is_attestation(line));
        Ok(Self {
            lines: lines
                .map(|line| {
                    let tree = Tree::read(archive, &line);
                    (line, tree)
                })
                .collect(),
        })
    }

    /// The images, one for each line of `index.json`; of a multi-platform image, the one for `platform` or the host.
    pub(crate) fn plan(&self, platform: Option<&Platform>) -> Result<Vec<Planned>> {
        let mut planned: Vec<Planned> = Vec::new();
        for (line, tree, image) in self.for_platform(platform)? {
            match planned.iter_mut().find(|known| known.target.digest == line.digest) {
                Some(known) => known.names.extend(name_of(line)),
                None => planned.push(plan_image(line, tree, image, platform)),
            }
        }
        Ok(planned)
    }

    /// What is no image.
    pub(crate) fn artifacts(&self) -> Vec<Artifact> {
        let artifacts = self.lines.iter().filter(|(_, tree)| tree.is_artifact());
        let artifact = |(line, tree): &(Descriptor, Tree)| Artifact {
            target: bare(line),
            name: name_of(line),
            blobs: tree.blobs.clone(),
        };
        artifacts.map(artifact).collect()
    }

    /// All images by the digest of their configuration.
    pub(crate) fn by_config(&self) -> HashMap<Digest, (&Descriptor, &Tree, &Arc<Content>)> {
        let of_line = |(line, tree)| {
            let tree: &Tree = tree;
            tree.images.iter().map(move |image| (image.id, (line, tree, image)))
        };
        self.lines.iter().map(|(line, tree)| (line, tree)).flat_map(of_line).collect()
    }

    /// The lines that are for the platform, or else, where none was asked for, all.
    fn for_platform(&self, platform: Option<&Platform>) -> Result<Vec<(&Descriptor, &Tree, &Arc<Content>)>> {
        let images: Vec<_> =
            self.lines.iter().filter_map(|(line, tree)| Some((line, tree, tree.choose(platform)?))).collect();
        let host = Platform::host();
        let of_host: Vec<_> = images.iter().filter(|(.., image)| image.platform().satisfies(&host)).copied().collect();
        if platform.is_none() && !of_host.is_empty() {
            return Ok(of_host);
        }
        match (images.is_empty(), platform) {
            (false, _) => Ok(images),
            (true, Some(platform)) if self.lines.iter().any(|(_, tree)| !tree.images.is_empty()) => {
                Err(Error::not_found(format!("the archive has no image for the platform {platform}")))
            }
            (true, _) => self.why_none(),
        }
    }

    fn why_none<T: Default>(&self) -> Result<T> {
        let problem = self.lines.iter().find_map(|(_, tree)| tree.problem.as_ref());
        match problem {
            Some(problem) => Err(Error::new(problem.kind(), problem.chain())),
            None if !self.lines.is_empty() => Ok(T::default()),
            None => Err(Error::invalid("index.json of the archive names no image")),
        }
    }
}

/// Builders write a full name in containerd's annotation; the OCI one is a name or, without colon and slash, only a tag.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let full = descriptor.annotations.get(NAME);
    let short = descriptor.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
    let name: Reference = full.or(short)?.parse().ok()?;
    Some(name.or_latest())
}

fn plan_image(line: &Descriptor, tree: &Tree, image: &Content, platform: Option<&Platform>) -> Planned {
    Planned {
        target: target(line, image),
        manifest: image.descriptor.digest,
        new_manifest: None,
        config: image.id,
        document: (*image.document).clone(),
        layers: image.manifest.layers.clone(),
        names: name_of(line).into_iter().collect(),
        blobs: if platform.is_some() { without_others(tree, image) } else { tree.blobs.clone() },
    }
}

/// A line's descriptor without names. Where it is the manifest itself, the size is the true one.
pub(crate) fn target(line: &Descriptor, image: &Content) -> Descriptor {
    if line.digest == image.descriptor.digest { image.descriptor.clone() } else { bare(line) }
}

/// The blobs of a tree without those that only the images for other platforms have.
pub(crate) fn without_others(tree: &Tree, image: &Content) -> HashSet<Digest> {
    let of_images: HashSet<Digest> = tree.images.iter().flat_map(|other| other.blobs()).collect();
    tree.blobs.difference(&of_images).copied().chain(image.blobs()).collect()
}
