//! Removing images, with Docker's rules and words.

use wharf_types::{Id, Reference, Result};

use crate::{ImageId, ImageStore};

/// How a container uses an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// The container.
    pub container: Id,
    /// Whether it runs at the moment.
    pub running: bool,
}

/// How to remove an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoveOptions {
    /// Also when it has several names, or stopped containers use it.
    pub force: bool,
    /// Keep untagged parents (`--no-prune`).
    pub keep_parents: bool,
}

/// One line of the answer to a removal, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// `Untagged: debian:bookworm`.
    Untagged(Reference),
    /// `Deleted: sha256:…`: the image's id, then the chain ids of the layers that went with it.
    Deleted(ImageId),
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// As in a removal.
    pub removed: Vec<Removed>,
    /// Bytes of the layers that went.
    pub reclaimed: u64,
}

impl ImageStore {
    /// Removes a name or an image, and what nothing refers to any more.
    ///
    /// `usage` lists the containers of an image; it is called with the store's own locks held, so it must not call back.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` in Docker's words when the image is in use or has several names.
    pub fn remove(
        &self,
        _name: &str,
        _options: RemoveOptions,
        _usage: &dyn Fn(&ImageId) -> Vec<InUse>,
    ) -> Result<Vec<Removed>> {
        todo!()
    }

    /// Removes all images without a name (or, with `all`, all images) for which `keep` says no.
    pub fn prune(&self, _all: bool, _keep: &dyn Fn(&crate::Image) -> bool) -> Result<Pruned> {
        todo!()
    }
}
