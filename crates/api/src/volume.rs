//! Volumes.

use serde::{Deserialize, Serialize};

use crate::{List, Map};

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Volume {
    /// RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// `local`.
    pub driver: String,
    /// Labels.
    pub labels: Map<String, String>,
    /// On the host.
    pub mountpoint: String,
    /// Name.
    pub name: String,
    /// The driver's options.
    pub options: Map<String, String>,
    /// `local` or `global`.
    pub scope: String,
    /// What the driver says besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Map<String, serde_json::Value>>,
    /// Only in the daemon's report of disk use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<UsageData>,
}

/// Use of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsageData {
    /// Containers that use it; -1 when unknown.
    pub ref_count: i64,
    /// Bytes; -1 when unknown.
    pub size: i64,
}

/// `POST /volumes/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// Name; a random one when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `local` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The driver's options.
    #[serde(skip_serializing_if = "Map::is_null")]
    pub driver_opts: Map<String, String>,
    /// Labels.
    #[serde(skip_serializing_if = "Map::is_null")]
    pub labels: Map<String, String>,
}

/// `GET /volumes`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ListResponse {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// Sentences for the person.
    pub warnings: List<String>,
}

/// The answer to a prune of volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Names.
    pub volumes_deleted: List<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}
