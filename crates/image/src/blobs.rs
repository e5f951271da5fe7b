//! Blobs that are here, and those of layers that were given up because the unpacked layer can make them anew.

use std::io::{self, Read};
use std::sync::PoisonError;

use wharf_storage::BlobInfo;
use wharf_types::{Digest, Error, Hasher, Result};

use crate::ImageStore;

/// What came of giving up the blobs of unpacked layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Blobs that were deleted.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that stay, because nothing here could make the same bytes again.
    pub kept: u64,
}

impl ImageStore {
    /// Opens a blob: its size in bytes, and its content, from disk or made anew from the unpacked layer. What is made
    /// anew is compared with the digest at its end; a difference is an error of the last read.
    ///
    /// # Errors
    /// `NotFound` where it is neither.
    pub fn open_blob(&self, digest: &Digest) -> Result<(u64, Box<dyn Read + Send>)> {
        if let Ok(file) = self.content.reader(digest) {
            return Ok((self.content.size(digest)?, Box::new(file)));
        }
        let Some(diff_id) = self.layer_that_makes(digest) else {
            return Err(Error::not_found(format!("content {digest} is not in the store"))
                .with_hint("'wharf system check' tells which images lack something; pulling them again heals them"));
        };
        let size = self.layers.rebuilt_size(&diff_id, digest)?;
        let stream = self.layers.rebuild(&diff_id, digest)?;
        Ok((size, Box::new(Verified { stream, hasher: Some(Hasher::new()), left: size, expected: *digest })))
    }

    /// Whether a blob can be opened: it is here or can be made anew.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.content.has(digest) || self.layer_that_makes(digest).is_some()
    }

    fn layer_that_makes(&self, blob: &Digest) -> Option<Digest> {
        let catalog = self.catalog();
        let mut layers = catalog.layers().filter(|(layer, _)| layer == blob).map(|(_, diff_id)| diff_id);
        layers.find(|diff_id| self.layers.can_rebuild(diff_id, blob))
    }

    /// Gives up the blobs of unpacked layers that the layers can make anew, byte for byte. `progress` hears of each
    /// before it is tried, as long as it says `true`.
    pub fn give_up_blobs(&self, progress: &mut dyn FnMut(&Digest) -> bool) -> Result<GivenUp> {
        let mut result = GivenUp::default();
        let mut pairs: Vec<(Digest, Digest)> = self.catalog().layers().collect();
        pairs.sort_unstable();
        pairs.dedup();
        for (blob, diff_id) in pairs {
            let Ok(size) = self.content.size(&blob) else { continue };
            if !self.layers.has(&diff_id) || self.is_leased(&blob) {
                continue;
            }
            if !progress(&blob) {
                break;
            }
            match self.give_up(BlobInfo { digest: blob, size }, &diff_id)? {
                true => (result.blobs, result.bytes) = (result.blobs + 1, result.bytes + size),
                false => result.kept += 1,
            }
        }
        Ok(result)
    }

    fn give_up(&self, blob: BlobInfo, diff_id: &Digest) -> Result<bool> {
        let lease = self.lease_all([*diff_id]);
        let noted = self.layers.note_blob(diff_id, blob, &|| self.content.reader(&blob.digest));
        let can_go = noted?;
        drop(lease);
        let _collecting = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        if !can_go || self.is_leased(&blob.digest) || !self.layers.has(diff_id) {
            return Ok(false);
        }
        drop(self.content.take_out(&blob.digest)?);
        Ok(true)
    }
}

/// Compares a stream with its digest when it has ended, or before its last byte is given.
struct Verified {
    stream: Box<dyn Read + Send>,
    hasher: Option<Hasher>,
    /// Bytes that are still to come.
    left: u64,
    expected: Digest,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..len]);
        }
        self.left = self.left.saturating_sub(len as u64);
        if (len == 0 || self.left == 0)
            && !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.expected
        {
            let message = format!("the unpacked layer is damaged and does not give blob {} again", self.expected);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(len)
    }
}
