//! The part of a pull that needs no network: what a registry's documents mean, what of them is here, and the end, when
//! an image becomes present with all its content at once.

use serde_json::Value;
use wharf_storage::{BlobInfo, Lease, StagedBlob, StagedLayer};
use wharf_types::{Digest, Error, Platform, Reference, Result};

use crate::catalog::Entry;
use crate::documents::{MAX_CONFIG, read_config, read_document};
use crate::names::{drop_needless, set_name};
use crate::tree::{self, Document, check_layers};
use crate::variants::platform_in;
use crate::{Descriptor, Image, ImageDocument, ImageId, ImageStore, Index, Manifest, media_type};

/// Docker's first format of manifests, without digests of configurations.
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
/// Plugins of dockerd look like images.
const PLUGIN: &str = "application/vnd.docker.plugin.v1+json";
/// An image has at most so many layers: overlay's own limit is near it.
const MAX_LAYERS: usize = 500;

/// What a registry has under a name.
#[derive(Debug)]
pub enum Remote {
    /// An image.
    Manifest(Box<Manifest>),
    /// Images for several platforms.
    Index(Index),
}

/// One layer of an image that is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The compressed layer.
    pub blob: BlobInfo,
    /// The digest of its plain content.
    pub diff_id: Digest,
    /// Where else it can be had.
    pub urls: Vec<String>,
}

/// What of a layer is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The blob.
    pub blob: bool,
    /// Its files.
    pub layer: bool,
}

/// A complete image, about to become present.
pub struct Pulled {
    /// What the name means in the registry: an index or the manifest itself.
    pub target: Descriptor,
    /// The manifest.
    pub manifest: Digest,
    /// The names that it gets.
    pub names: Vec<Reference>,
    /// Documents: the index, the manifest, the configuration.
    pub documents: Vec<Vec<u8>>,
    /// Layers, compressed.
    pub blobs: Vec<StagedBlob>,
    /// Layers, unpacked.
    pub layers: Vec<StagedLayer>,
}

/// Reads a manifest or index; `media_type` is what the registry calls it.
pub fn read_remote(bytes: &[u8], digest: &Digest, media_type: &str) -> Result<Remote> {
    let is_old = serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value["schemaVersion"] == 1);
    if is_old || SCHEMA_1.contains(&media_type) {
        return Err(Error::invalid("the image has a manifest of schema version 1, which is not supported any more")
            .with_hint("whoever made the image can push it again with a tool of this decade"));
    }
    Ok(match read_document(bytes, digest)? {
        Document::Index(index) => Remote::Index(index),
        Document::Manifest(manifest) => Remote::Manifest(manifest),
    })
}

/// The member of an index for a platform, the host's where none is wished. Attestations are no images.
///
/// # Errors
/// `NotFound`, in Docker's words.
pub fn choose<'a>(index: &'a Index, platform: Option<&Platform>) -> Result<&'a Descriptor> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let images = || index.manifests.iter().filter(|member| !tree::is_attestation(member));
    let of = |member: &Descriptor| platform_in(member);
    let exact = || images().find(|member| of(member).as_ref() == Some(wanted));
    let same = || images().find(|member| of(member).is_some_and(|platform| platform.satisfies(wanted)));
    // A later processor of this family runs what was made for an earlier one.
    let earlier = || {
        let runs = |member: &&Descriptor| of(member).is_some_and(|platform| is_earlier_arm(&platform, wanted));
        images().filter(runs).max_by_key(|member| of(member).and_then(|platform| platform.variant))
    };
    // Where nobody says what it is for, the only one there is must be it.
    let only = || images().next().filter(|member| images().count() == 1 && of(member).is_none());
    exact().or_else(same).or_else(earlier).or_else(only).ok_or_else(|| {
        let known: Vec<String> = images().filter_map(of).map(|platform| platform.to_string()).collect();
        let error = Error::not_found(format!("no matching manifest for {wanted} in the manifest list entries"));
        if known.is_empty() { error } else { error.with_hint(format!("there are {}", known.join(", "))) }
    })
}

fn is_earlier_arm(platform: &Platform, wanted: &Platform) -> bool {
    let is_arm = platform.os == wanted.os && platform.architecture == "arm" && wanted.architecture == "arm";
    is_arm && platform.variant.is_some() && platform.variant < wanted.variant
}

/// Refuses what is no image, clearly.
pub fn check_image(manifest: &Manifest) -> Result<()> {
    let kind = manifest.extra.get("artifactType").and_then(Value::as_str).unwrap_or_default();
    let config = manifest.config.media_type.as_str();
    let is_image = matches!(config, "" | media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) && kind.is_empty();
    if is_image {
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Error::invalid(format!("the image has more than {MAX_LAYERS} layers")));
        }
        return Ok(());
    }
    let kind = if kind.is_empty() { config } else { kind };
    Err(match kind {
        PLUGIN => Error::invalid("this is a plugin, not an image").with_hint("wharf has no plugins of this kind"),
        kind => Error::invalid(format!("this is an artifact of type {kind}, not an image"))
            .with_hint("'manifest inspect' shows what it is made of"),
    })
}

/// The largest configuration, in bytes.
pub fn config_limit() -> u64 {
    MAX_CONFIG
}

/// The layers of an image by its manifest and configuration, base first.
pub fn parts(manifest: &Manifest, config: &[u8]) -> Result<(ImageDocument, Vec<Part>)> {
    let document = read_config(config, &manifest.config.digest)?;
    check_layers(manifest.layers.len(), &document)?;
    let part = |(layer, diff_id): (&Descriptor, &Digest)| {
        let urls = layer.extra.get("urls").and_then(Value::as_array);
        let urls = urls.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Part { blob: BlobInfo { digest: layer.digest, size: layer.size }, diff_id: *diff_id, urls }
    };
    let parts = manifest.layers.iter().zip(&document.rootfs.diff_ids).map(part).collect();
    Ok((document, parts))
}

impl ImageStore {
    /// The image that this repository's `digest` means, if it is here, with all its content, and for the platform that is
    /// wished.
    pub fn find_pulled(
        &self,
        name: &Reference,
        digest: Digest,
        platform: Option<&Platform>,
    ) -> Option<std::sync::Arc<Image>> {
        let catalog = self.catalog();
        let image = catalog.by_name(&name.with_digest(digest))?;
        let host = Platform::host();
        let is_index = image.target.digest != image.manifest.digest;
        let wanted = platform.or(is_index.then_some(&host));
        let is_whole = || {
            catalog
                .entries_of(image.id)
                .filter_map(|entry| catalog.content_of(entry))
                .all(|content| self.is_whole(content))
        };
        (wanted.is_none_or(|wanted| image.platform().satisfies(wanted)) && is_whole()).then(|| image.clone())
    }

    /// Whether every blob of an image is here, can be made anew or was given up for a registry has it; what only its maker gives away need not be.
    pub(crate) fn is_whole(&self, content: &tree::Content) -> bool {
        let is_foreign = |blob: &Digest| {
            content.manifest.layers.iter().any(|layer| layer.digest == *blob && layer.extra.contains_key("urls"))
        };
        content.blobs().all(|blob| self.has_blob(&blob) || is_foreign(&blob))
    }

    /// Gives an image that is here the names under which it would have been pulled. `false` if it has them already.
    pub fn name_pulled(&self, image: &Image, names: &[Reference]) -> Result<bool> {
        let has = |name: &Reference| image.tags.contains(name) || image.digests.contains(name);
        if names.iter().all(has) {
            return Ok(false);
        }
        self.change(|_, entries| {
            let entry = Entry::new(image.target.clone(), &image.manifest.digest);
            for name in names.iter().filter(|name| !has(name)) {
                set_name(entries, Entry { parent: image.parent, ..entry.clone() }, name);
            }
            Ok(true)
        })
    }

    /// What of a layer is here. The lease keeps both, present or not.
    pub fn keep_part(&self, lease: &mut Lease, part: &Part) -> Present {
        let _collecting = self.spare_content();
        lease.hold(part.blob.digest);
        lease.hold(part.diff_id);
        let on_disk = self.content.size(&part.blob.digest).is_ok_and(|size| size == part.blob.size);
        let layer = self.layers.info(&part.diff_id).is_ok();
        let blob = on_disk || layer && self.layers.has_note(&part.diff_id, &part.blob.digest);
        Present { blob, layer }
    }

    /// Makes content present again that images here consist of.
    pub fn commit_again(&self, blobs: Vec<StagedBlob>, layers: Vec<StagedLayer>) -> Result<()> {
        self.commit_content(blobs, layers, |_, _| Ok(()))
    }

    /// Makes an image present: its content first, then its names.
    pub fn commit_pull(&self, pulled: Pulled) -> Result<ImageId> {
        let Pulled { target, manifest, names, documents, mut blobs, layers } = pulled;
        for document in &documents {
            blobs.push(self.content.stage(document)?);
        }
        self.commit_content(blobs, layers, |_, entries| {
            let entry = Entry::new(target, &manifest);
            names.iter().for_each(|name| set_name(entries, entry.clone(), name));
            drop_needless(entries);
            Ok(())
        })?;
        let catalog = self.catalog();
        let image = names.first().and_then(|name| catalog.by_name(name));
        Ok(image.ok_or_else(|| Error::system("the image that was pulled is not complete"))?.id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wharf_types::Kind;

    use super::*;

    fn index(members: &[(&str, &str)]) -> Index {
        let member = |(number, (platform, kind)): (usize, &(&str, &str))| {
            let mut words = platform.split('/');
            let mut next = || words.next();
            let (os, architecture, variant) = (next(), next(), next());
            json!({
                "digest": Digest::of(&[number as u8]), "size": 1, "mediaType": media_type::OCI_MANIFEST,
                "platform": {"os": os, "architecture": architecture, "variant": variant},
                "annotations": if kind.is_empty() { json!({}) } else { json!({"vnd.docker.reference.type": kind}) },
            })
        };
        let manifests: Vec<Value> = members.iter().enumerate().map(member).collect();
        serde_json::from_value(json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
    }

    fn chosen(index: &Index, platform: &str) -> Option<usize> {
        let found = choose(index, Some(&platform.parse().unwrap())).ok()?.digest;
        index.manifests.iter().position(|member| member.digest == found)
    }

    #[test]
    fn the_platform_picks_the_manifest_and_attestations_are_none() {
        let index = index(&[
            ("linux/amd64", "attestation-manifest"),
            ("linux/arm/v6", ""),
            ("linux/arm/v5", ""),
            ("linux/amd64", ""),
            ("linux/arm64/v8", ""),
        ]);
        assert_eq!(chosen(&index, "linux/amd64"), Some(3));
        assert_eq!(chosen(&index, "linux/arm64"), Some(4));
        assert_eq!(chosen(&index, "linux/arm/v7"), Some(1));
        assert_eq!(chosen(&index, "linux/arm/v5"), Some(2));
        let error = choose(&index, Some(&"linux/riscv64".parse().unwrap())).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "no matching manifest for linux/riscv64 in the manifest list entries");
        assert!(error.hint().unwrap().contains("linux/arm64/v8"));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let digest = Digest::of(b"");
        let of = |config: &str, kind: Value| -> Manifest {
            let config = json!({"mediaType": config, "digest": digest, "size": 1});
            serde_json::from_value(json!({"schemaVersion": 2, "config": config, "layers": [], "artifactType": kind}))
                .unwrap()
        };
        check_image(&of(media_type::DOCKER_CONFIG, Value::Null)).unwrap();
        for manifest in [
            of("application/vnd.oci.empty.v1+json", json!("application/spdx")),
            of(media_type::OCI_CONFIG, json!("application/spdx")),
            of(PLUGIN, Value::Null),
            of("application/vnd.cncf.helm.config.v1+json", Value::Null),
        ] {
            assert_eq!(check_image(&manifest).unwrap_err().kind(), Kind::InvalidParameter);
        }
        let old = br#"{"schemaVersion":1,"name":"x","fsLayers":[]}"#;
        assert!(read_remote(old, &digest, "").unwrap_err().to_string().contains("schema version 1"));
        assert!(read_remote(b"<html>", &digest, "text/html").is_err());
    }
}
