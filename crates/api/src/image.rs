//! Images.

mod manifest;
mod progress;
mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use manifest::{AttestationData, ImageData, ManifestSize, ManifestSummary, UnpackedSize};
pub use progress::{Aux, ErrorDetail, Progress, ProgressDetail, humanize_bytes};
pub use summary::{DeleteItem, HistoryItem, PruneReport, SearchResult, Summary};

use crate::container::{GraphDriver, HealthConfig};
use crate::nullable::one_or_many;
use crate::{Empty, List};

/// Everything about one image: `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Inspect {
    /// Digest of the configuration, with `sha256:`.
    pub id: String,
    /// Names as `repository:tag`.
    pub repo_tags: Vec<String>,
    /// Names as `repository@digest`.
    pub repo_digests: Vec<String>,
    /// The parent's id, where the image was built here by the classic builder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// What the one who made it says.
    pub comment: String,
    /// RFC 3339; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Shown until API 1.51: always empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// Who made it.
    pub author: String,
    /// What a container of it is by default.
    pub config: Option<Config>,
    /// The processor, in Go's spelling.
    pub architecture: String,
    /// The processor's variant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The operating system.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Bytes of all layers unpacked.
    pub size: i64,
    /// The same as `size`; shown until API 1.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// The storage driver's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_driver: Option<GraphDriver>,
    /// The layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What only this host knows about it.
    pub metadata: Metadata,
    /// The manifest or index (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// All manifests, when they are asked for (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
}

/// What a container of an image is by default; what is empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// `user[:group]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports that the program listens on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Environment as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What is run before the command.
    #[serde(skip_serializing_if = "List::is_null", deserialize_with = "one_or_many")]
    pub entrypoint: List<String>,
    /// The command, or the arguments of the entrypoint.
    #[serde(skip_serializing_if = "List::is_null", deserialize_with = "one_or_many")]
    pub cmd: List<String>,
    /// Places that get an anonymous volume.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops the program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The command is escaped already (Windows).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// How to find out whether a container is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Triggers for builds on top of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The shell of the Dockerfile's shell form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

/// What only this host knows about an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Metadata {
    /// When it last got a name; RFC 3339, `0001-01-01T00:00:00Z` if never.
    pub last_tag_time: String,
}

/// A descriptor (OCI image-spec, "Content Descriptors").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// Digest.
    pub digest: String,
    /// Bytes.
    pub size: i64,
    /// Where else it can be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// What an image runs on (OCI image-spec, "Image Index").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The processor, in Go's spelling.
    pub architecture: String,
    /// The operating system.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features of the operating system (Windows).
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The processor's variant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}
