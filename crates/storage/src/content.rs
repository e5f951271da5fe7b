//! The content store: an OCI image layout on disk, which skopeo, umoci or crane can read in place.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use wharf_types::{Digest, Result};

/// A digest and the size in bytes of the content that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobInfo {
    /// The SHA-256 of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// An OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/<hex>`, and `ingest/` for what is being written.
///
/// All methods take `&self` and may be called from several threads.
pub struct ContentStore {
    root: PathBuf,
}

impl ContentStore {
    /// Opens the layout in folder `root`, making it where it is missing, and removes what a crash left in `ingest/`.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { root: root.to_owned() })
    }

    /// The folder of the layout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins to write a blob aside.
    pub fn ingest(&self) -> Result<Ingest> {
        todo!()
    }

    /// Stores `bytes` durably.
    pub fn put(&self, _bytes: &[u8]) -> Result<BlobInfo> {
        todo!()
    }

    /// Makes a staged blob durable and present. Publishing what is already there is fine.
    pub fn publish(&self, _blob: StagedBlob) -> Result<BlobInfo> {
        todo!()
    }

    /// Opens a blob for reading; `NotFound` where it is missing.
    pub fn reader(&self, _digest: &Digest) -> Result<File> {
        todo!()
    }

    /// Reads a whole blob of at most `limit` bytes and verifies it; `Corrupt` where it does not match its digest.
    pub fn read(&self, _digest: &Digest, _limit: u64) -> Result<Vec<u8>> {
        todo!()
    }

    /// Whether the blob is present.
    pub fn has(&self, _digest: &Digest) -> bool {
        todo!()
    }

    /// The blob's size in bytes; `NotFound` where it is missing.
    pub fn size(&self, _digest: &Digest) -> Result<u64> {
        todo!()
    }

    /// Removes a blob; one that is missing is fine.
    pub fn remove(&self, _digest: &Digest) -> Result<()> {
        todo!()
    }

    /// All blobs with their sizes, in no particular order.
    pub fn list(&self) -> Result<Vec<BlobInfo>> {
        todo!()
    }

    /// Reads all of a blob and compares it with its digest: `Corrupt` or `NotFound` where something is wrong.
    pub fn verify(&self, _digest: &Digest) -> Result<()> {
        todo!()
    }

    /// The bytes of `index.json`.
    pub fn read_index(&self) -> Result<Vec<u8>> {
        todo!()
    }

    /// Replaces `index.json` atomically and durably.
    pub fn replace_index(&self, _bytes: &[u8]) -> Result<()> {
        todo!()
    }
}

/// A blob being written. Dropped unfinished, it leaves nothing.
pub struct Ingest {}

impl Ingest {
    /// Ends the writing and compares with what was promised: `Corrupt` on another digest or size.
    pub fn finish(self, _digest: Option<Digest>, _size: Option<u64>) -> Result<StagedBlob> {
        todo!()
    }
}

impl Write for Ingest {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        todo!()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A complete and verified blob that is not yet present in the store. Dropped unpublished, it leaves nothing.
pub struct StagedBlob {}

impl StagedBlob {
    /// Digest and size.
    pub fn info(&self) -> BlobInfo {
        todo!()
    }

    /// Opens it for reading.
    pub fn reader(&self) -> Result<File> {
        todo!()
    }
}
