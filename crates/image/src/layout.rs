//! The images of an OCI layout within an archive: from `index.json` through nested indexes to manifests.

use std::collections::HashMap;

use serde_json::Value;
use wharf_types::{Digest, Error, Platform, Reference, Result, ResultExt};

use crate::archive::{Archive, parse, read_small};
use crate::catalog::{NAME, REF_NAME};
use crate::documents::{MAX_CONFIG, MAX_MANIFEST};
use crate::{Descriptor, ImageDocument, Index, Manifest};

/// Indexes in indexes: at most so many.
const MAX_DEPTH: usize = 4;

/// An image of an archive: everything that is needed to add it.
pub(crate) struct Planned {
    /// The manifest's descriptor, without names.
    pub manifest: Descriptor,
    /// The manifest itself where the archive has none.
    pub new_manifest: Option<Vec<u8>>,
    pub config: Digest,
    pub document: ImageDocument,
    /// The blobs of the layers, base first.
    pub layers: Vec<Descriptor>,
    pub names: Vec<Reference>,
}

/// The images of a layout, one for each line of `index.json`; of a multi-platform image, the one for this host.
pub(crate) fn plan(archive: &Archive) -> Result<Vec<Planned>> {
    let index: Index = archive.json("index.json", MAX_MANIFEST)?;
    let mut planned: Vec<Planned> = Vec::new();
    let lines = for_this_host(archive, &index.manifests);
    for line in lines {
        let manifest = choose(archive, line, MAX_DEPTH)?;
        let name = name_of(line);
        match planned.iter_mut().find(|known| known.manifest.digest == manifest.digest) {
            Some(known) => known.names.extend(name),
            None => planned.push(plan_image(archive, manifest, name)?),
        }
    }
    if planned.is_empty() { Err(Error::invalid("index.json of the archive names no image")) } else { Ok(planned) }
}

/// All image manifests of a layout by the digest of their configuration, as far as they can be read.
pub(crate) fn manifests(archive: &Archive) -> HashMap<Digest, (Descriptor, Manifest)> {
    let mut found = HashMap::new();
    if let Ok(index) = archive.json::<Index>("index.json", MAX_MANIFEST) {
        collect(archive, &index.manifests, MAX_DEPTH, &mut found);
    }
    found
}

fn collect(
    archive: &Archive,
    descriptors: &[Descriptor],
    depth: usize,
    found: &mut HashMap<Digest, (Descriptor, Manifest)>,
) {
    for descriptor in descriptors {
        match read(archive, descriptor) {
            Ok(Document::Manifest(manifest)) => {
                found.insert(manifest.config.digest, (bare(descriptor), *manifest));
            }
            Ok(Document::Index(index)) if depth > 0 => collect(archive, &index.manifests, depth - 1, found),
            Ok(Document::Index(_)) | Err(_) => {}
        }
    }
}

enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

fn read(archive: &Archive, descriptor: &Descriptor) -> Result<Document> {
    let blob = archive.blob(&descriptor.digest)?;
    let name = format!("blobs/sha256/{}", descriptor.digest.hex());
    let bytes = read_small(blob, MAX_MANIFEST).with_context(|| format!("cannot read member {name} of the archive"))?;
    // Media types are optional and sometimes wrong; the content is not.
    let value: Value = parse(&bytes, &name)?;
    match value.get("manifests") {
        Some(_) => Ok(Document::Index(parse(&bytes, &name)?)),
        None => Ok(Document::Manifest(parse(&bytes, &name)?)),
    }
}

/// Follows indexes down to one manifest.
fn choose(archive: &Archive, descriptor: &Descriptor, depth: usize) -> Result<Descriptor> {
    match read(archive, descriptor)? {
        Document::Manifest(_) => Ok(bare(descriptor)),
        Document::Index(_) if depth == 0 => Err(Error::invalid("the archive has too many indexes within indexes")),
        Document::Index(index) => {
            let Some(best) = for_this_host(archive, &index.manifests).into_iter().next() else {
                return Err(Error::invalid("the archive has an index without any image that is complete"));
            };
            choose(archive, best, depth - 1)
        }
    }
}

/// Those descriptors that are for this host and complete in the archive, or else those complete, or else all.
/// Attestations are no images.
fn for_this_host<'a>(archive: &Archive, descriptors: &'a [Descriptor]) -> Vec<&'a Descriptor> {
    let host = Platform::host();
    let is_attestation = |d: &Descriptor| d.annotations.contains_key("vnd.docker.reference.type");
    let images: Vec<&Descriptor> = descriptors.iter().filter(|d| !is_attestation(d)).collect();
    let is_there = |d: &Descriptor| archive.blob(&d.digest).is_ok();
    let is_for_host = |d: &Descriptor| platform_of(d).is_none_or(|platform| platform.satisfies(&host));
    let complete: Vec<&Descriptor> = images.iter().copied().filter(|d| is_there(d)).collect();
    let best: Vec<&Descriptor> = complete.iter().copied().filter(|d| is_for_host(d)).collect();
    [best, complete, images].into_iter().find(|list| !list.is_empty()).unwrap_or_default()
}

fn platform_of(descriptor: &Descriptor) -> Option<Platform> {
    let platform = descriptor.platform.as_ref()?;
    let text = |key: &str| platform.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(Platform {
        os: text("os")?.to_owned(),
        architecture: text("architecture")?.to_owned(),
        variant: text("variant").map(str::to_owned),
    })
}

/// Builders write a full name in containerd's annotation; the OCI one is a name or, without colon and slash, only a tag.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let full = descriptor.annotations.get(NAME);
    let short = descriptor.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
    let name: Reference = full.or(short)?.parse().ok()?;
    Some(name.or_latest())
}

/// The descriptor without what belongs to the index it came from.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor { annotations: Default::default(), ..descriptor.clone() }
}

fn plan_image(archive: &Archive, descriptor: Descriptor, name: Option<Reference>) -> Result<Planned> {
    let Document::Manifest(manifest) = read(archive, &descriptor)? else {
        return Err(Error::invalid("the archive names an index where a manifest should be"));
    };
    let config = manifest.config.digest;
    let member = format!("blobs/sha256/{}", config.hex());
    let document: ImageDocument = archive.json(&member, MAX_CONFIG)?;
    check_layers(manifest.layers.len(), &document)?;
    let names = name.into_iter().collect();
    let size = archive.blob(&descriptor.digest)?.info().size;
    let manifest_descriptor = Descriptor { size, ..descriptor };
    Ok(Planned { manifest: manifest_descriptor, new_manifest: None, config, document, layers: manifest.layers, names })
}

/// Every layer needs its diff id; Docker's words.
pub(crate) fn check_layers(layers: usize, document: &ImageDocument) -> Result<()> {
    let expected = document.rootfs.diff_ids.len();
    if layers == expected {
        return Ok(());
    }
    Err(Error::invalid(format!("invalid manifest, layers length mismatch: expected {expected}, got {layers}")))
}
