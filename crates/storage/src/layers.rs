//! The layer store: one folder per diff id, each independent of the others, in overlay's own form.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wharf_types::{Digest, Result};

use crate::tar::Limits;

/// What is known of an unpacked layer; kept beside its files as `layer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// SHA-256 of the uncompressed tar stream.
    pub diff_id: Digest,
    /// Sum of the sizes of the regular files in bytes, as Docker counts a layer.
    pub size: u64,
    /// Number of entries in the tar stream.
    pub entries: u64,
}

/// Unpacked layers: `sha256/<hex>/fs` is the folder for overlay, `sha256/<hex>/layer.json` a [`LayerInfo`].
///
/// All methods take `&self` and may be called from several threads; layers unpack in parallel.
pub struct LayerStore {
    root: PathBuf,
}

impl LayerStore {
    /// Opens the store in folder `root`, making it where it is missing, and removes what a crash left half-made.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { root: root.to_owned() })
    }

    /// Unpacks a tar stream (plain, gzip, zstd, xz or bzip2) into a temporary folder and computes its diff id.
    ///
    /// # Errors
    /// `Corrupt` for a broken or truncated stream, `InvalidParameter` for entries that no layer may have.
    pub fn unpack(&self, _stream: impl Read, _limits: &Limits) -> Result<StagedLayer> {
        todo!()
    }

    /// Makes staged layers durable with one `syncfs`, then present. Layers that are already there are dropped.
    pub fn publish(&self, _layers: Vec<StagedLayer>) -> Result<()> {
        todo!()
    }

    /// Whether the layer is present.
    pub fn has(&self, _diff_id: &Digest) -> bool {
        todo!()
    }

    /// The layer's folder for overlay, whether or not it is present.
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("sha256").join(diff_id.hex()).join("fs")
    }

    /// What is known of a layer; `NotFound` where it is missing.
    pub fn info(&self, _diff_id: &Digest) -> Result<LayerInfo> {
        todo!()
    }

    /// Removes a layer; one that is missing is fine.
    pub fn remove(&self, _diff_id: &Digest) -> Result<()> {
        todo!()
    }

    /// The diff ids of all layers, in no particular order.
    pub fn list(&self) -> Result<Vec<Digest>> {
        todo!()
    }
}

/// A completely unpacked layer that is not yet present in the store. Dropped unpublished, it leaves nothing.
pub struct StagedLayer {}

impl StagedLayer {
    /// Diff id and sizes.
    pub fn info(&self) -> LayerInfo {
        todo!()
    }
}
