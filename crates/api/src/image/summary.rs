//! Lists of images and the answers that name several.

use serde::{Deserialize, Serialize};

use super::{Descriptor, ManifestSummary};
use crate::{List, Map};

/// One image of the list: `GET /images/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    /// Digest of the configuration, with `sha256:`.
    pub id: String,
    /// The parent's id, where the image was built here by the classic builder.
    pub parent_id: String,
    /// Names as `repository:tag`.
    pub repo_tags: Vec<String>,
    /// Names as `repository@digest`.
    pub repo_digests: Vec<String>,
    /// Seconds since 1970.
    pub created: i64,
    /// Bytes of all layers unpacked.
    pub size: i64,
    /// Bytes shared with other images; -1 when not asked for.
    pub shared_size: i64,
    /// The same as `size`; shown until API 1.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// Labels.
    pub labels: Map<String, String>,
    /// How many containers use it; -1 when not asked for.
    pub containers: i64,
    /// The manifest or index (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// All manifests, when they are asked for (API 1.47).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
}

/// One step of an image's history: `GET /images/{name}/history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HistoryItem {
    /// The image's id in the newest step, `<missing>` below.
    pub id: String,
    /// Seconds since 1970.
    pub created: i64,
    /// The command.
    pub created_by: String,
    /// Names of the image in the newest step.
    pub tags: List<String>,
    /// Bytes that the step added.
    pub size: i64,
    /// A remark.
    pub comment: String,
}

/// One thing that a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeleteItem {
    /// A name that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<String>,
    /// An id that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
}

impl DeleteItem {
    /// A name is gone.
    pub fn untagged(name: impl Into<String>) -> Self {
        Self { untagged: Some(name.into()), deleted: None }
    }

    /// An id is gone.
    pub fn deleted(id: impl Into<String>) -> Self {
        Self { untagged: None, deleted: Some(id.into()) }
    }
}

/// The answer to a prune of images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Names and ids.
    pub images_deleted: List<DeleteItem>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// One result of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResult {
    /// Stars.
    pub star_count: i64,
    /// Kept by the registry's own people.
    pub is_official: bool,
    /// Repository.
    pub name: String,
    /// Always false.
    pub is_automated: bool,
    /// One sentence.
    pub description: String,
}
