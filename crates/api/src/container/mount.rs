//! Mounts in the structured form, `--mount`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Mount {
    /// What kind.
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MountType>,
    /// A path of the host, a volume's name, or an image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The place in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Mount it read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// `default`, `consistent`, `cached` or `delegated`; without effect on Linux.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// For kind bind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For kind volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For kind image (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For kind tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// The kind of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountType {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// A file system in memory.
    Tmpfs,
    /// A named pipe (Windows).
    Npipe,
    /// A volume of the cluster (swarm).
    Cluster,
    /// The files of an image.
    Image,
}

/// How a path of the host is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct BindOptions {
    /// `rprivate`, `private`, `rshared`, `shared`, `rslave` or `slave`; rprivate when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Leave out what is mounted below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Make the source if it is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// What is mounted below stays writable (API 1.44).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Fail if what is mounted below cannot be made read-only (API 1.44).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
}

/// How a volume is mounted, and made where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeOptions {
    /// Do not fill an empty volume with what the image has at the target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Labels for a new volume.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Mount only this folder of the volume (API 1.45).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// The driver of a new volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<VolumeDriverConfig>,
}

/// The driver of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct VolumeDriverConfig {
    /// Its name; `local` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// How an image is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageOptions {
    /// Mount only this folder of the image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// How a file system in memory is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct TmpfsOptions {
    /// Bytes; 0 is the kernel's default, half of the memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// Permission bits; 0 is 1777.
    #[serde(skip_serializing_if = "is_zero_mode")]
    pub mode: u32,
    /// Further mount options, each of one or two words (API 1.46).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Vec<String>>,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_mode(value: &u32) -> bool {
    *value == 0
}
