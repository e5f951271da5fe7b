//! The image store: names, lookup, tags and collection.

use std::path::Path;
use std::sync::Arc;

use wharf_storage::{ContentStore, LayerStore, Lease};
use wharf_types::{Reference, Result};

use crate::{HistoryEntry, Image, ImageId};

/// All images of an engine.
///
/// Every method takes `&self`; reading is answered from memory and never waits for a write.
pub struct ImageStore {
    content: ContentStore,
    layers: LayerStore,
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of blobs.
    pub blobs: u64,
    /// Number of layers.
    pub layers: u64,
    /// Bytes of both.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens `root/content` and `root/layers`, making what is missing, and reads all names and configurations.
    ///
    /// Removes half-written files but collects nothing: call [`ImageStore::collect`] after taking leases for containers.
    pub fn open(_root: &Path) -> Result<Self> {
        todo!()
    }

    /// The blobs.
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// The unpacked layers.
    pub fn layers(&self) -> &LayerStore {
        &self.layers
    }

    /// Finds an image by `name[:tag][@digest]`, full id or unique prefix of an id, with or without `sha256:`.
    ///
    /// # Errors
    /// `NotFound` ("No such image: x:latest"), or `InvalidParameter` for a prefix of several ids.
    pub fn resolve(&self, _name: &str) -> Result<Arc<Image>> {
        todo!()
    }

    /// The image with this id.
    pub fn get(&self, _id: &ImageId) -> Option<Arc<Image>> {
        todo!()
    }

    /// All images, newest first.
    pub fn list(&self) -> Vec<Arc<Image>> {
        todo!()
    }

    /// The exact bytes of an image's configuration document.
    pub fn config_bytes(&self, _id: &ImageId) -> Result<Vec<u8>> {
        todo!()
    }

    /// How an image was made, newest step first.
    pub fn history(&self, _name: &str) -> Result<Vec<HistoryEntry>> {
        todo!()
    }

    /// Gives an image (found as by [`ImageStore::resolve`]) one more name, taking it from whichever image had it.
    pub fn tag(&self, _image: &str, _target: &Reference) -> Result<ImageId> {
        todo!()
    }

    /// Takes away a name but never content.
    pub fn untag(&self, _name: &Reference) -> Result<()> {
        todo!()
    }

    /// Keeps the layers of an image from collection until the lease is dropped. Take one for every container, running
    /// or not: its image may be removed with force while the container lives on.
    pub fn lease(&self, _image: &Image) -> Lease {
        todo!()
    }

    /// An empty lease, for operations that bring in content piece by piece.
    pub fn begin(&self) -> Lease {
        todo!()
    }

    /// Removes every blob and layer that no image refers to and no lease holds.
    pub fn collect(&self) -> Result<Collected> {
        todo!()
    }
}
