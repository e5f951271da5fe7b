//! Blobs that are here, and those of layers that were given up because the unpacked layer can make them anew or a
//! registry has them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::PoisonError;

use wharf_storage::BlobInfo;
use wharf_types::{Digest, Error, Hasher, Reference, Result};

use crate::catalog::Catalog;
use crate::{ImageStore, Part};

/// What came of giving up the blobs of unpacked layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Blobs that were deleted.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that stay, because nothing here could make the same bytes again and no registry has them.
    pub kept: u64,
}

/// A blob that is not here and cannot be made anew, and where it can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The blob, and the layer that it is.
    pub part: Part,
    /// Repositories that had it, without tags.
    pub repositories: Vec<Reference>,
}

/// Whoever gives up blobs: hears what happens, and knows registries.
pub trait GivingUp {
    /// Hears of each blob before it is tried; `false` ends it.
    fn goes_on(&mut self, blob: &Digest) -> bool;
    /// Those of the repositories from which this engine gets the very blob at the moment.
    fn offered(&mut self, blob: BlobInfo, repositories: &[Reference]) -> Vec<Reference>;
}

/// Nobody who could ask a registry: only what can be made anew is given up.
impl<F: FnMut(&Digest) -> bool> GivingUp for F {
    fn goes_on(&mut self, blob: &Digest) -> bool {
        self(blob)
    }

    fn offered(&mut self, _: BlobInfo, _: &[Reference]) -> Vec<Reference> {
        Vec::new()
    }
}

impl ImageStore {
    /// Opens a blob: its size in bytes, and its content, from disk or made anew from the unpacked layer. What is made
    /// anew is compared with the digest at its end; a difference is an error of the last read.
    ///
    /// # Errors
    /// `NotFound` where it is neither, `Unavailable` where it has to be fetched first (see [`ImageStore::absent`]).
    pub fn open_blob(&self, digest: &Digest) -> Result<(u64, Box<dyn Read + Send>)> {
        if let Ok(file) = self.content.reader(digest) {
            return Ok((self.content.size(digest)?, Box::new(file)));
        }
        let Some(diff_id) = self.layer_that_makes(digest) else {
            if let Some(Absent { repositories, .. }) = self.absent(digest) {
                let names: Vec<String> = repositories.iter().map(ToString::to_string).collect();
                let names = names.join(", ");
                return Err(Error::unavailable(format!("blob {digest} was given up and must be fetched from {names}")));
            }
            return Err(Error::not_found(format!("content {digest} is not in the store"))
                .with_hint("'wharf system check' tells which images lack something; pulling them again heals them"));
        };
        let size = self.layers.rebuilt_size(&diff_id, digest)?;
        let stream = self.layers.rebuild(&diff_id, digest)?;
        Ok((size, Box::new(Verified { stream, hasher: Some(Hasher::new()), left: size, expected: *digest })))
    }

    /// Whether a blob is to be had: it is here, can be made anew, or was given up for a registry has it.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.content.has(digest) || self.layer_of(digest).is_some()
    }

    /// Whether a blob was given up that must be fetched before it can be opened, and where it can be had.
    pub fn absent(&self, blob: &Digest) -> Option<Absent> {
        if self.content.has(blob) {
            return None;
        }
        let catalog = self.catalog();
        let mut layers = catalog.layers().filter(|(layer, _)| layer == blob).map(|(_, diff_id)| diff_id);
        let (diff_id, noted) = layers.find_map(|diff_id| {
            let noted = self.layers.repositories(&diff_id, blob);
            (!noted.is_empty()).then_some((diff_id, noted))
        })?;
        let size = self.layers.rebuilt_size(&diff_id, blob).ok()?;
        let mut repositories: Vec<Reference> = noted.iter().filter_map(|name| name.parse().ok()).collect();
        let later = repositories_of(&catalog).remove(blob).unwrap_or_default();
        repositories.extend(later.into_iter().filter(|later| !noted.contains(&later.to_string())));
        let part = Part { blob: BlobInfo { digest: *blob, size }, diff_id, urls: Vec::new() };
        Some(Absent { part, repositories })
    }

    /// The layer that makes a blob anew, or knows where it can be had.
    fn layer_of(&self, blob: &Digest) -> Option<Digest> {
        let catalog = self.catalog();
        let mut layers = catalog.layers().filter(|(layer, _)| layer == blob).map(|(_, diff_id)| diff_id);
        layers.find(|diff_id| self.layers.has_note(diff_id, blob))
    }

    fn layer_that_makes(&self, blob: &Digest) -> Option<Digest> {
        let catalog = self.catalog();
        let mut layers = catalog.layers().filter(|(layer, _)| layer == blob).map(|(_, diff_id)| diff_id);
        layers.find(|diff_id| self.layers.can_rebuild(diff_id, blob))
    }

    /// Gives up the blobs of unpacked layers that the layers can make anew, byte for byte, or that a registry offers.
    pub fn give_up_blobs(&self, by: &mut dyn GivingUp) -> Result<GivenUp> {
        let mut result = GivenUp::default();
        let catalog = self.catalog();
        let mut pairs: Vec<(Digest, Digest)> = catalog.layers().collect();
        pairs.sort_unstable();
        pairs.dedup();
        let repositories = repositories_of(&catalog);
        for (blob, diff_id) in pairs {
            let Ok(size) = self.content.size(&blob) else { continue };
            if !self.layers.has(&diff_id) || self.is_leased(&blob) {
                continue;
            }
            if !by.goes_on(&blob) {
                break;
            }
            let known = repositories.get(&blob).map_or(&[][..], Vec::as_slice);
            match self.give_up(BlobInfo { digest: blob, size }, &diff_id, known, by)? {
                true => (result.blobs, result.bytes) = (result.blobs + 1, result.bytes + size),
                false => result.kept += 1,
            }
        }
        Ok(result)
    }

    fn give_up(&self, blob: BlobInfo, diff_id: &Digest, known: &[Reference], by: &mut dyn GivingUp) -> Result<bool> {
        let lease = self.lease_all([*diff_id]);
        let open = || self.content.reader(&blob.digest);
        let mut can_go = self.layers.note_blob(diff_id, blob, &open)?;
        let noted = self.layers.repositories(diff_id, &blob.digest);
        let mut known = known.to_vec();
        known.extend(
            noted.iter().filter_map(|name| name.parse().ok()).filter(|name| !known.contains(name)).collect::<Vec<_>>(),
        );
        if !can_go && !known.is_empty() {
            let offered = by.offered(blob, &known);
            if !offered.is_empty() {
                let names = offered.iter().map(ToString::to_string).collect();
                self.layers.note_repositories(diff_id, blob, names, &open)?;
                can_go = true;
            }
        }
        drop(lease);
        let _collecting = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        if !can_go || self.is_leased(&blob.digest) || !self.layers.has(diff_id) {
            return Ok(false);
        }
        drop(self.content.take_out(&blob.digest)?);
        Ok(true)
    }
}

/// In which repositories each blob has been, as the names by digest tell: only what was pulled or pushed has one.
fn repositories_of(catalog: &Catalog) -> HashMap<Digest, Vec<Reference>> {
    let mut repositories: HashMap<Digest, Vec<Reference>> = HashMap::new();
    for entry in &catalog.entries {
        let Some(name) = entry.name.as_ref().filter(|name| name.digest().is_some()) else { continue };
        let repository = name.repository();
        for blob in catalog.tree(entry).into_iter().flat_map(|tree| &tree.blobs) {
            let known = repositories.entry(*blob).or_default();
            if !known.contains(&repository) {
                known.push(repository.clone());
            }
        }
    }
    repositories
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
