//! The manifests that an image's name leads to (API 1.47).

use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform};

/// One manifest: of a platform's image, of attestations about one, or of something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSummary {
    /// The manifest's digest.
    #[serde(rename = "ID")]
    pub id: String,
    /// As the index has it.
    pub descriptor: Descriptor,
    /// Whether all that it refers to is here.
    pub available: bool,
    /// Bytes.
    pub size: ManifestSize,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    /// More about an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ImageData>,
    /// More about attestations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_data: Option<AttestationData>,
}

/// Space that a manifest's content takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ManifestSize {
    /// Bytes of blobs.
    pub content: i64,
    /// Bytes of blobs and unpacked files.
    pub total: i64,
}

/// What is known of an image for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageData {
    /// For whom.
    pub platform: Platform,
    /// Ids of the containers that use it.
    pub containers: Vec<String>,
    /// Bytes.
    pub size: UnpackedSize,
}

/// Space that unpacked layers take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UnpackedSize {
    /// Bytes of their files.
    pub unpacked: i64,
}

/// What is known of attestations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AttestationData {
    /// The manifest that they are about.
    #[serde(rename = "For")]
    pub about: String,
}
