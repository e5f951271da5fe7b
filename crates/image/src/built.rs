//! Images put together by a build: layers from overlay's upper folders, configuration and manifest on top.

use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::path::Path;

use wharf_storage::{BlobInfo, LayerInfo, Lease, tar};
use wharf_types::{Digest, Error, Reference, Result, ResultExt};

use crate::catalog::{Entry, Referenced};
use crate::names::{drop_needless, set_name};
use crate::{Descriptor, Image, ImageDocument, ImageId, ImageStore, Manifest, documents, media_type};

/// A layer that a build made: a plain tar, so its digest and its diff id are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltLayer {
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Size of the tar in bytes.
    pub blob: u64,
    /// Sum of the sizes of its files in bytes.
    pub size: u64,
}

impl BuiltLayer {
    /// How a manifest names it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(media_type::OCI_LAYER, BlobInfo { digest: self.diff_id, size: self.blob })
    }
}

impl ImageStore {
    /// Makes a layer of overlay's `upper` folder, which is moved into the store; `None` where nothing changed. The blob is
    /// written once, uncompressed: compression is for those who carry it away.
    ///
    /// The layer is present but not durable until [`ImageStore::add_built`] or [`ImageStore::sync_layers`]; `lease` holds it.
    /// With `latest` no time in it is later than that many seconds since 1970.
    ///
    /// # Errors
    /// `Exhausted` on a full disk; nothing is left then.
    pub fn keep_layer(&self, upper: &Path, latest: Option<i64>, lease: &mut Lease) -> Result<Option<BuiltLayer>> {
        let folder = std::fs::File::open(upper).context("cannot open what a step wrote")?;
        let mut out = BufWriter::with_capacity(1 << 20, self.content.ingest()?);
        let written = tar::layer(folder.as_fd(), latest, &mut out)?;
        out.flush().context("cannot store the layer")?;
        if written.entries == 0 {
            return Ok(None);
        }
        let blob = out.into_inner().map_err(|error| error.into_error()).context("cannot store the layer")?;
        let blob = blob.finish(None, None)?;
        let BlobInfo { digest, size } = blob.info();
        let _collecting = self.spare_content();
        lease.hold(digest);
        if !self.layers.has(&digest) {
            let info = LayerInfo { diff_id: digest, size: written.size, entries: written.entries, opaque_root: false };
            self.layers.present_unsynced(&self.layers.adopt(upper, info)?)?;
        }
        self.content.present_unsynced(&blob)?;
        Ok(Some(BuiltLayer { diff_id: digest, blob: size, size: written.size }))
    }

    /// Makes everything durable that was kept so far.
    pub fn sync_layers(&self) -> Result<()> {
        self.layers.sync()?;
        if self.layers.shares_disk(&self.content)? { Ok(()) } else { self.content.sync() }
    }

    /// Removes a layer that was never made durable, unless an image has it: after a loss of power.
    pub fn drop_unsynced(&self, diff_id: &Digest) -> Result<()> {
        let candidates = Referenced { blobs: [*diff_id].into(), layers: [*diff_id].into() };
        let _writer = self.lock_writer();
        self.sweep(&candidates, &self.catalog()).map(drop)
    }

    /// The layers of an image as its manifest names them, base first.
    ///
    /// # Errors
    /// `Corrupt` or `NotFound` where the manifest cannot be read.
    pub fn layer_descriptors(&self, image: &Image) -> Result<Vec<Descriptor>> {
        let bytes = self.content.read(&image.manifest.digest, documents::MAX_MANIFEST)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| Error::corrupt("the image manifest cannot be read").caused_by(error))?;
        Ok(manifest.layers)
    }

    /// Adds an image whose layers are all here, under any number of names; `unsynced` if some of them may not be durable
    /// yet. The image's id follows from the document, so adding the same again changes only names.
    ///
    /// # Errors
    /// Those of the store; the names are then as before.
    pub fn add_built(
        &self,
        document: &ImageDocument,
        layers: Vec<Descriptor>,
        names: &[Reference],
        parent: Option<ImageId>,
        unsynced: bool,
    ) -> Result<ImageId> {
        let config =
            serde_json::to_vec(document).map_err(std::io::Error::from).context("cannot write a configuration")?;
        let id = Digest::of(&config);
        let names: Vec<Reference> = names.iter().cloned().map(Reference::or_latest).collect();
        if let Some(image) = self.get(&id)
            && names.iter().all(|name| image.tags.contains(name))
        {
            return Ok(id);
        }
        if unsynced {
            self.sync_layers()?;
        }
        let config = self.content.stage(&config)?;
        let manifest = Manifest::new(Descriptor::new(media_type::OCI_CONFIG, config.info()), layers);
        let bytes = serde_json::to_vec(&manifest).map_err(std::io::Error::from).context("cannot write a manifest")?;
        let manifest = self.content.stage(&bytes)?;
        let descriptor = Descriptor::new(media_type::OCI_MANIFEST, manifest.info());
        self.commit_content(vec![config, manifest], Vec::new(), |_, entries| {
            let entry = Entry { target: descriptor, chosen: None, name: None, parent };
            for name in &names {
                set_name(entries, entry.clone(), name);
            }
            if names.is_empty() {
                entries.push(entry);
                drop_needless(entries);
            }
            Ok(())
        })?;
        Ok(id)
    }
}
