//! New images from a tar stream: import (one layer) and commit (one more layer).

use std::io::{self, Read, Write};

use wharf_storage::tar::Limits;
use wharf_storage::{Compression, Ingest, StagedBlob, StagedLayer, decompress};
use wharf_types::{Error, Platform, Reference, Result, ResultExt};

use crate::catalog::Entry;
use crate::names::{drop_needless, find, set_name};
use crate::{
    Descriptor, History, Image, ImageConfig, ImageDocument, ImageId, ImageStore, Manifest, RootFs, apply_changes,
    documents, media_type,
};

/// How to make an image of a root file system's tar (`docker import`).
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The name; none makes a dangling image.
    pub reference: Option<Reference>,
    /// Dockerfile instructions such as `CMD ["sh"]` or `ENV A=b` (`--change`).
    pub changes: Vec<String>,
    /// The comment; Docker says `Imported from -`.
    pub message: String,
    /// For whom; the host's where it is `None`.
    pub platform: Option<Platform>,
}

/// How to make an image of a container (`docker commit`).
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The name; none makes a dangling image.
    pub reference: Option<Reference>,
    /// The image that the container was made of.
    pub parent: Option<ImageId>,
    /// The whole new configuration, before `changes`.
    pub config: ImageConfig,
    /// Dockerfile instructions (`--change`).
    pub changes: Vec<String>,
    /// Who commits.
    pub author: String,
    /// A note.
    pub message: String,
    /// What the history says as the command.
    pub created_by: String,
}

impl ImageStore {
    /// Makes an image with one layer of a tar stream of a root file system, plain or compressed.
    ///
    /// What comes as gzip or zstd is kept byte for byte as the layer's blob; all else is kept as the plain tar, which
    /// costs no time to compress and can be rebuilt from nothing else.
    pub fn import(&self, stream: impl Read + Send, options: &ImportOptions) -> Result<ImageId> {
        let mut config = ImageConfig::default();
        apply_changes(&mut config, &options.changes)?;
        let layer = self.stage_layer(stream)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let now = now();
        let step = History { created: Some(now.clone()), comment: options.message.clone(), ..History::default() };
        let document = ImageDocument {
            created: Some(now),
            architecture: platform.architecture,
            variant: platform.variant.unwrap_or_default(),
            os: platform.os,
            config,
            rootfs: RootFs::of(vec![layer.layer.info().diff_id]),
            history: vec![step],
            comment: options.message.clone(),
            ..ImageDocument::default()
        };
        self.add_image(&document, Vec::new(), Some(layer), options.reference.as_ref(), None)
    }

    /// Makes an image of a layer tar (as [`wharf_storage::tar::diff`] writes it) on top of a parent. A tar without
    /// entries adds a step to the history but no layer.
    pub fn commit(&self, layer: impl Read + Send, options: &CommitOptions) -> Result<ImageId> {
        let parent = options.parent.map(|id| self.parent(&id)).transpose()?;
        let _lease = parent.as_ref().map(|(image, _)| self.lease(image));
        let mut config = options.config.clone();
        apply_changes(&mut config, &options.changes)?;
        let layer = Some(self.stage_layer(layer)?).filter(|layer| layer.layer.info().entries > 0);
        let (mut document, layers) = match &parent {
            Some((image, manifest)) => ((*image.document).clone(), manifest.layers.clone()),
            None => (new_document(), Vec::new()),
        };
        let now = now();
        document.created = Some(now.clone());
        document.author.clone_from(&options.author);
        document.comment.clone_from(&options.message);
        document.config = config;
        document.rootfs.diff_ids.extend(layer.as_ref().map(|layer| layer.layer.info().diff_id));
        document.history.push(History {
            created: Some(now),
            author: options.author.clone(),
            created_by: options.created_by.clone(),
            comment: options.message.clone(),
            empty_layer: layer.is_none(),
        });
        self.add_image(&document, layers, layer, options.reference.as_ref(), options.parent)
    }

    fn parent(&self, id: &ImageId) -> Result<(std::sync::Arc<Image>, Manifest)> {
        let catalog = self.catalog();
        let image = find(&catalog, &id.to_string())?;
        let content = catalog.entries_of(image.id).find_map(|entry| catalog.content_of(entry));
        let content = content.ok_or_else(|| Error::corrupt(format!("the manifest of {id} is missing")))?;
        Ok((image.clone(), content.manifest.clone()))
    }

    /// Unpacks a layer and keeps its blob, reading the stream once.
    fn stage_layer(&self, stream: impl Read + Send) -> Result<NewLayer> {
        let (compression, stream) = Compression::peek(stream)?;
        match documents::layer_type(compression) {
            Some(media_type) => self.stage_as_is(stream, media_type),
            None => self.stage_as_is(decompress(stream)?.1, media_type::OCI_LAYER),
        }
    }

    fn stage_as_is(&self, stream: impl Read + Send, media_type: &'static str) -> Result<NewLayer> {
        let mut tee = Tee { stream, blob: self.content.ingest()?, failure: None };
        let layer = self.layers.unpack(&mut tee, None, &Limits::default());
        if let Some(failure) = tee.failure.take() {
            return Err(failure).context("cannot store the layer");
        }
        let layer = layer?;
        io::copy(&mut tee, &mut io::sink()).context("cannot read the archive")?;
        Ok(NewLayer { layer, blob: tee.blob.finish(None, None)?, media_type })
    }

    /// Writes configuration and manifest and makes everything present at once.
    fn add_image(
        &self,
        document: &ImageDocument,
        mut layers: Vec<Descriptor>,
        layer: Option<NewLayer>,
        name: Option<&Reference>,
        parent: Option<ImageId>,
    ) -> Result<ImageId> {
        let config = self.content.stage(&to_json(document)?)?;
        let mut blobs = Vec::new();
        let mut folders = Vec::new();
        if let Some(layer) = layer {
            layers.push(Descriptor::new(layer.media_type, layer.blob.info()));
            blobs.push(layer.blob);
            folders.push(layer.layer);
        }
        let id = config.info().digest;
        let manifest = Manifest::new(Descriptor::new(media_type::OCI_CONFIG, config.info()), layers);
        let manifest = self.content.stage(&to_json(&manifest)?)?;
        let descriptor = Descriptor::new(media_type::OCI_MANIFEST, manifest.info());
        blobs.extend([config, manifest]);
        let name = name.cloned().map(Reference::or_latest);
        self.commit_content(blobs, folders, |_, entries| {
            let entry = Entry { target: descriptor, chosen: None, name: None, parent };
            match &name {
                Some(name) => set_name(entries, entry, name),
                None => {
                    entries.push(entry);
                    drop_needless(entries);
                }
            }
            Ok(())
        })?;
        Ok(id)
    }
}

/// A layer that is not yet present, as files and as a blob.
struct NewLayer {
    layer: StagedLayer,
    blob: StagedBlob,
    media_type: &'static str,
}

/// Keeps all that is read.
struct Tee<R> {
    stream: R,
    blob: Ingest,
    /// Why the blob could not be written: the reader of the stream would take it for a damaged stream.
    failure: Option<Error>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        if let Err(error) = self.blob.write_all(&buffer[..len]) {
            let kind = error.kind();
            self.failure = Some(error.into());
            return Err(kind.into());
        }
        Ok(len)
    }
}

fn new_document() -> ImageDocument {
    let platform = Platform::host();
    ImageDocument {
        architecture: platform.architecture,
        os: platform.os,
        rootfs: RootFs::of(Vec::new()),
        ..ImageDocument::default()
    }
}

/// The present time as image documents have it.
fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn to_json(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::system("cannot write an image document").caused_by(error))
}
