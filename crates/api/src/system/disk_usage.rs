//! `GET /system/df`.

use serde::{Deserialize, Serialize};

use crate::{List, container, image, volume};

/// What takes space on the disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DiskUsage {
    /// Bytes of all layers of images: gone from the newest version, and what Ansible looks at all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers_size: Option<i64>,
    /// Images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_usage: Option<Usage<image::Summary>>,
    /// Containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_usage: Option<Usage<container::Summary>>,
    /// Volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_usage: Option<Usage<volume::Volume>>,
    /// The build cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cache_usage: Option<Usage<BuildCache>>,
    /// What images take, by kind. Not part of Docker's API.
    #[serde(rename = "io.wharf.StoreUsage", skip_serializing_if = "Option::is_none")]
    pub store_usage: Option<super::upkeep::StoreUsage>,
}

/// What one sort of things takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Usage<T> {
    /// Things in use.
    pub active_count: i64,
    /// All things.
    pub total_count: i64,
    /// Bytes that a prune would free.
    pub reclaimable: i64,
    /// Bytes.
    pub total_size: i64,
    /// The things themselves; only when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", bound(deserialize = "T: Deserialize<'de>"))]
    pub items: Vec<T>,
}

impl<T> Default for Usage<T> {
    fn default() -> Self {
        Self { active_count: 0, total_count: 0, reclaimable: 0, total_size: 0, items: Vec::new() }
    }
}

/// The same as API versions before 1.52 have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LegacyDiskUsage {
    /// Bytes of all layers of images.
    pub layers_size: i64,
    /// Images, with shared sizes and numbers of containers.
    pub images: List<image::Summary>,
    /// Containers, with sizes.
    pub containers: List<container::Summary>,
    /// Volumes, with use.
    pub volumes: List<volume::Volume>,
    /// The build cache.
    pub build_cache: List<BuildCache>,
    /// Bytes of the build cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder_size: Option<i64>,
    /// What images take, by kind. Not part of Docker's API.
    #[serde(rename = "io.wharf.StoreUsage", skip_serializing_if = "Option::is_none")]
    pub store_usage: Option<super::upkeep::StoreUsage>,
}

/// One record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BuildCache {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Records that it was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// `regular`, `source.local`, `exec.cachemount`, ...
    #[serde(rename = "Type")]
    pub kind: String,
    /// The step that made it.
    pub description: String,
    /// A build uses it now.
    pub in_use: bool,
    /// Others share its content.
    pub shared: bool,
    /// Bytes.
    pub size: i64,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub last_used_at: Option<String>,
    /// How often.
    pub usage_count: i64,
}

impl From<DiskUsage> for LegacyDiskUsage {
    /// Needs the things themselves in every [`Usage`].
    fn from(usage: DiskUsage) -> Self {
        let images = usage.image_usage.unwrap_or_default();
        let cache = usage.build_cache_usage.unwrap_or_default();
        Self {
            layers_size: images.total_size,
            images: images.items.into(),
            containers: usage.container_usage.unwrap_or_default().items.into(),
            volumes: usage.volume_usage.unwrap_or_default().items.into(),
            builder_size: Some(cache.total_size),
            build_cache: cache.items.into(),
            store_usage: usage.store_usage,
        }
    }
}
