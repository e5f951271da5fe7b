//! What wharf's own requests about its store answer with; not part of Docker's API.

use serde::{Deserialize, Serialize};

/// Paths of these requests, without version.
pub mod path {
    /// `GET` looks for damage, `POST` repairs it as well: lines of progress whose `aux` is a [`super::CheckItem`].
    pub const CHECK: &str = "/wharf/check";
    /// `POST` prunes images: lines of progress whose `aux` is a [`super::PruneItem`].
    pub const PRUNE_IMAGES: &str = "/wharf/images/prune";
}

/// What a check has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum CheckItem {
    /// Something is wrong.
    Finding(Finding),
    /// All was looked at; the last item.
    Summary(CheckSummary),
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Finding {
    /// `damaged layer`, `orphan`, ...
    pub flaw: String,
    /// A digest or a name.
    pub subject: String,
    /// A sentence.
    pub detail: String,
    /// What was done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
}

/// What a check has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CheckSummary {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Layers that were compared with their blob.
    pub layers: u64,
    /// Layers for which there is nothing to compare with.
    pub uncompared: u64,
    /// Things that are or were wrong.
    pub found: u64,
    /// How many of them were mended.
    pub repaired: u64,
}

/// What a prune has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum PruneItem {
    /// A name or an image went.
    Removed(crate::image::DeleteItem),
    /// A blob of an unpacked layer is about to be given up, if it can be had again.
    GivingUp(String),
    /// Blobs of unpacked layers were given up; others stay, for nothing could make the same bytes again and no registry
    /// has them.
    GaveUp {
        /// How many were given up.
        blobs: u64,
        /// How many stay.
        kept: u64,
    },
    /// Bytes that were freed; the last item.
    Reclaimed(u64),
}

/// Space that the content of images takes, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct StoreUsage {
    /// Number of blobs.
    pub blobs: i64,
    /// Their bytes on disk.
    pub blobs_size: i64,
    /// Number of unpacked layers.
    pub layers: i64,
    /// Their bytes on disk.
    pub layers_size: i64,
    /// Number of downloads that were begun and may be continued.
    pub partials: i64,
    /// Their bytes, which are among those of the blobs.
    pub partials_size: i64,
}
