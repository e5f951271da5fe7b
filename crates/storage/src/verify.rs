//! Whether an unpacked layer is what its blob says: it is unpacked once more, aside, and compared.

use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, RenameFlags};
use wharf_types::{Digest, Result, ResultExt};

use crate::dir::DIR_FLAGS;
use crate::layers::FILES;
use crate::repack::is_note;
use crate::tar::Limits;
use crate::{LayerStore, StagedLayer, compare, dir};

/// What a look at a layer has shown.
pub struct Verified {
    /// The first difference in words; `None` where the layer is whole.
    pub difference: Option<String>,
    /// The layer as it should be.
    pub fresh: StagedLayer,
}

impl LayerStore {
    /// Unpacks the layer's tar stream (plain or compressed) aside and compares it with the layer that is present.
    ///
    /// # Errors
    /// As [`LayerStore::unpack`], when the stream itself is not that of the layer.
    pub fn verify(&self, diff_id: &Digest, stream: impl Read + Send) -> Result<Verified> {
        let fresh = self.unpack(stream, Some(*diff_id), &Limits::default())?;
        let difference = self.compare(diff_id, &fresh)?;
        Ok(Verified { difference, fresh })
    }

    fn compare(&self, diff_id: &Digest, fresh: &StagedLayer) -> Result<Option<String>> {
        let expected = fresh.open()?;
        // What is remembered of it does not count: the description itself may be damaged.
        self.known().remove(diff_id);
        match self.info(diff_id) {
            Ok(info) if info == fresh.info() => {}
            Ok(_) => return Ok(Some("its description differs".into())),
            Err(error) => return Ok(Some(error.chain())),
        }
        match self.open_layer(diff_id, FILES) {
            Ok(found) => compare::first_difference(expected.as_fd(), found.as_fd()),
            Err(error) => Ok(Some(error.chain())),
        }
    }

    /// Puts layers in the place of those that are there, durably. What was there is deleted.
    pub fn replace(&self, layers: Vec<StagedLayer>) -> Result<()> {
        self.sync()?;
        for layer in &layers {
            let diff_id = layer.info.diff_id;
            let (from, name) = (&layer.temporary, diff_id.hex());
            if self.has(&diff_id) {
                self.take_notes(layer)?;
                let exchanged =
                    rustix::fs::renameat_with(from.parent(), from.name(), self.as_fd(), &name, RenameFlags::EXCHANGE);
                exchanged.map_err(io::Error::from).with_context(|| format!("cannot replace layer {diff_id}"))?;
                self.known().insert(diff_id, layer.info);
            }
        }
        dir::sync_names(self.as_fd())?;
        self.publish_synced(layers.into_iter().filter(|layer| !self.has(&layer.info.diff_id)).collect())
    }
}

impl LayerStore {
    /// What was noted beside the layer that is there holds for its successor too.
    fn take_notes(&self, fresh: &StagedLayer) -> Result<()> {
        let old = self.open_layer(&fresh.info.diff_id, ".")?;
        let take = || -> rustix::io::Result<()> {
            let new = rustix::fs::openat(fresh.temporary.parent(), fresh.temporary.name(), DIR_FLAGS, Mode::empty())?;
            for (name, _) in dir::entries(old.as_fd())? {
                if is_note(name.to_bytes()) {
                    rustix::fs::linkat(&old, &name, &new, &name, AtFlags::empty())?;
                }
            }
            Ok(())
        };
        take().map_err(io::Error::from).context("cannot keep the notes on a layer")
    }
}

impl StagedLayer {
    fn open(&self) -> Result<std::os::fd::OwnedFd> {
        let layer = rustix::fs::openat(self.temporary.parent(), self.temporary.name(), DIR_FLAGS, Mode::empty());
        let files = layer.and_then(|layer| rustix::fs::openat(layer, FILES, DIR_FLAGS, Mode::empty()));
        files.map_err(io::Error::from).context("cannot open a layer")
    }
}
