//! How much space images take: blobs and unpacked layers both.

use std::collections::{HashMap, HashSet};

use wharf_types::{Digest, Result};

use crate::{ImageId, ImageStore};

/// Space on disk, as `du` counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes of the blobs, whole and half downloaded.
    pub blob_bytes: u64,
    /// Number of unpacked layers that images, containers or nobody have.
    pub layers: u64,
    /// Bytes of the unpacked layers.
    pub layer_bytes: u64,
    /// Number of downloads that were begun and may be continued.
    pub partials: u64,
    /// Bytes of what has come of them, which are among those of the blobs.
    pub partial_bytes: u64,
    /// Bytes of blobs and layers that only images without containers need, or nobody.
    pub reclaimable: u64,
}

impl ImageStore {
    /// Measures blobs and layers, but not layers for which `is_others` says yes: those are counted elsewhere. A layer is
    /// measured once in the life of this store; nobody waits for it.
    pub fn disk_usage(
        &self,
        is_active: &dyn Fn(&ImageId) -> bool,
        is_others: &dyn Fn(&Digest) -> bool,
    ) -> Result<StoreUsage> {
        let catalog = self.catalog();
        let mut used: HashSet<Digest> = HashSet::new();
        for entry in &catalog.entries {
            if let Some(content) = catalog.content_of(entry).filter(|content| is_active(&content.id)) {
                used.extend(catalog.tree(entry).into_iter().flat_map(|tree| tree.blobs.iter().copied()));
                used.extend(&content.document.rootfs.diff_ids);
            }
        }
        let mut usage = StoreUsage { blob_bytes: self.content.disk_usage()?, ..StoreUsage::default() };
        let mut needed = 0;
        for blob in self.content.list()? {
            usage.blobs += 1;
            needed += if used.contains(&blob.digest) { blob.size } else { 0 };
        }
        for layer in self.layers.list()?.into_iter().filter(|layer| !is_others(layer)) {
            // One that was removed meanwhile takes nothing.
            let bytes = self.layers.disk_usage(&layer).unwrap_or(0);
            usage.layers += 1;
            usage.layer_bytes += bytes;
            needed += if used.contains(&layer) || self.is_leased(&layer) { bytes } else { 0 };
        }
        for partial in self.content.partials()? {
            usage.partials += 1;
            usage.partial_bytes += partial.size;
        }
        usage.reclaimable = (usage.blob_bytes + usage.layer_bytes).saturating_sub(needed);
        Ok(usage)
    }

    /// Of each image, the bytes of the files in layers that other images have as well, on top of the same ones.
    pub fn shared_sizes(&self) -> HashMap<ImageId, u64> {
        let images = self.list();
        let mut users: HashMap<Digest, u32> = HashMap::new();
        for chain in images.iter().flat_map(|image| image.chain_ids()) {
            *users.entry(chain).or_default() += 1;
        }
        let size = |diff_id: &Digest| self.layers.info(diff_id).map_or(0, |info| info.size);
        let shared = |image: &std::sync::Arc<crate::Image>| {
            let layers = image.chain_ids().into_iter().zip(image.diff_ids());
            layers.filter(|(chain, _)| users[chain] > 1).map(|(_, diff_id)| size(diff_id)).sum()
        };
        images.iter().map(|image| (image.id, shared(image))).collect()
    }
}
