//! Bringing images in and out: import, load, save, commit.

use std::io::{Read, Write};

use wharf_types::{Digest, Platform, Reference, Result};

use crate::{ImageConfig, ImageId, ImageStore};

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

/// One image that a load brought in. Displays as Docker says it: `Loaded image: x` or `Loaded image ID: sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// A name.
    Name(Reference, ImageId),
    /// An image without a name.
    Id(ImageId),
}

/// How far a load has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the archive read so far.
    Read(u64),
    /// A layer begins to unpack; compressed size in bytes.
    Unpacking(Digest, u64),
    /// A layer is complete.
    Unpacked(Digest),
    /// A layer was there before.
    Present(Digest),
}

impl ImageStore {
    /// Makes an image with one layer of a tar stream of a root file system, plain or compressed.
    pub fn import(&self, _stream: impl Read + Send, _options: &ImportOptions) -> Result<ImageId> {
        todo!()
    }

    /// Brings in all images of a docker-archive or an OCI layout in a tar stream, plain or compressed.
    ///
    /// # Errors
    /// `InvalidParameter` when the stream is no such archive or a member is missing, `Corrupt` when a member is damaged;
    /// the sentence names the member, and nothing is left behind.
    pub fn load(&self, _stream: impl Read + Send, _progress: &(dyn Fn(Progress) + Sync)) -> Result<Vec<Loaded>> {
        todo!()
    }

    /// Writes images as a tar stream that is both a docker-archive and an OCI layout.
    pub fn save(&self, _names: &[&str], _out: impl Write) -> Result<()> {
        todo!()
    }

    /// Makes an image of a plain layer tar (as [`wharf_storage::tar::diff`] writes it) on top of a parent.
    pub fn commit(&self, _layer: impl Read + Send, _options: &CommitOptions) -> Result<ImageId> {
        todo!()
    }
}
