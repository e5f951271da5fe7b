//! Descriptors, manifests and indexes: OCI's and Docker's schema 2, which differ only in their media types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wharf_storage::{BlobInfo, Compression};
use wharf_types::{Digest, Error, Result};

use crate::ImageDocument;
use crate::tree::Document;

/// Media types of the documents and layers that wharf knows.
pub mod media_type {
    /// OCI index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
}

/// The largest manifest or index that is read, in bytes (distribution-spec: 4 MiB should be accepted).
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
/// The largest image configuration that is read, in bytes.
pub(crate) const MAX_CONFIG: u64 = 16 << 20;

/// Reads a manifest or an index, OCI's or Docker's schema 2, told apart by what is in it.
pub(crate) fn read_document(bytes: &[u8], digest: &Digest) -> Result<Document> {
    let unreadable = |error| Error::corrupt(format!("the image manifest {digest} cannot be read")).caused_by(error);
    let members: Members = serde_json::from_slice(bytes).map_err(unreadable)?;
    match members.manifests {
        Some(_) => serde_json::from_slice(bytes).map(Document::Index).map_err(unreadable),
        None => {
            serde_json::from_slice(bytes).map(|manifest| Document::Manifest(Box::new(manifest))).map_err(unreadable)
        }
    }
}

/// The media type that a document says of itself, or else what it looks like.
pub(crate) fn media_type_of(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        #[serde(default)]
        media_type: String,
        manifests: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Typed>(bytes) {
        Ok(typed) if !typed.media_type.is_empty() => typed.media_type,
        Ok(typed) if typed.manifests.is_some() => media_type::OCI_INDEX.to_owned(),
        _ => media_type::OCI_MANIFEST.to_owned(),
    }
}

#[derive(Deserialize)]
struct Members {
    manifests: Option<serde::de::IgnoredAny>,
}

/// Reads an image configuration.
pub(crate) fn read_config(bytes: &[u8], digest: &Digest) -> Result<ImageDocument> {
    let unreadable =
        |error| Error::corrupt(format!("the image configuration {digest} cannot be read")).caused_by(error);
    serde_json::from_slice(bytes).map_err(unreadable)
}

/// The media type of a layer blob, where OCI has one.
pub(crate) fn layer_type(compression: Compression) -> Option<&'static str> {
    match compression {
        Compression::None => Some(media_type::OCI_LAYER),
        Compression::Gzip => Some(media_type::OCI_LAYER_GZIP),
        Compression::Zstd => Some(media_type::OCI_LAYER_ZSTD),
        Compression::Xz | Compression::Bzip2 => None,
    }
}

/// A reference to content (image-spec, "Descriptors").
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Names and notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// For whom, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Value>,
    /// What later versions add.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Descriptor {
    /// A plain descriptor.
    pub fn new(media_type: &str, blob: BlobInfo) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: blob.digest,
            size: blob.size,
            annotations: BTreeMap::new(),
            platform: None,
            extra: Map::new(),
        }
    }
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's or Docker's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The configuration document.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// What later versions add.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Manifest {
    /// An OCI manifest.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        let media_type = media_type::OCI_MANIFEST.to_owned();
        Self { schema_version: 2, media_type, config, layers, extra: Map::new() }
    }
}

/// An image index, also the form of `index.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's or Docker's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Manifests or further indexes.
    pub manifests: Vec<Descriptor>,
    /// What later versions add.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Index {
    /// An OCI index.
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        let media_type = media_type::OCI_INDEX.to_owned();
        Self { schema_version: 2, media_type, manifests, extra: Map::new() }
    }
}
