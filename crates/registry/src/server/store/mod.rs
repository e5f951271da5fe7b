//! Where a registry keeps what it has: a small contract, and what fulfils it.
//!
//! A store holds three things: *documents*, small named values (manifests, tags, marks without content); *blobs*, large
//! and named by their digest; and *uploads*, which become blobs. Everything else of a registry is written in terms of
//! these (`registry/`), so a new place to store things implements one trait and passes one test suite.

mod files;
mod objects;
#[cfg(test)]
mod suite;

use std::fs::File;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use wharf_types::{Digest, Result};

pub use files::FileStore;
pub use objects::BucketStore;

use super::hash::RollingHash;

/// A named value.
#[derive(Debug, Clone)]
pub struct Document {
    /// The value.
    pub bytes: Bytes,
    /// How long ago it was written.
    pub age: Duration,
}

/// A document in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of its key.
    pub name: String,
    /// How long ago it was written.
    pub age: Duration,
}

/// A blob in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// How long ago it was written.
    pub age: Duration,
}

/// The bytes of a blob, or of a part of it.
pub enum Content {
    /// A part of a file of this host.
    File {
        /// The file.
        file: File,
        /// Which bytes of it.
        range: Range<u64>,
    },
    /// Bytes that come from elsewhere.
    Stream(BoxStream<'static, Result<Bytes>>),
}

/// How sure a document must be before a write returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut.
    Synced,
    /// It survives the process.
    Written,
}

/// An upload in progress: everything that any server needs to go on with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The repository it was begun in.
    pub repository: String,
    /// The hash of what has arrived, and thereby its length.
    pub hash: RollingHash,
    /// Names that the store has given to parts of the content; empty for stores that append.
    pub pieces: Vec<Piece>,
}

/// A part of an upload's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Piece {
    /// Its key in the store.
    pub key: String,
    /// Its length in bytes.
    pub length: u64,
}

impl Upload {
    /// How many bytes have arrived.
    pub fn offset(&self) -> u64 {
        self.hash.length()
    }
}

/// Bytes on their way into the store. A failure of the sender ends them early and is kept for whoever asks.
pub struct Source {
    stream: BoxStream<'static, Result<Bytes>>,
    failure: Option<wharf_types::Error>,
    ended: bool,
    /// What is left of the present portion.
    portion: u64,
    /// What did not fit into the present portion.
    held: Option<Bytes>,
}

impl Source {
    /// From a stream of bytes.
    pub fn new(stream: BoxStream<'static, Result<Bytes>>) -> Self {
        Self { stream, failure: None, ended: false, portion: u64::MAX, held: None }
    }

    /// From bytes that are there.
    #[cfg(test)]
    pub fn of(bytes: Bytes) -> Self {
        Self::new(futures_util::stream::iter([Ok(bytes)]).boxed())
    }

    /// Lets at most so many more bytes through before [`Source::next`] says that there are none for now.
    pub fn allow(&mut self, bytes: u64) {
        self.portion = bytes;
    }

    /// The next bytes; `None` at the end, after a failure, and at the end of the portion.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.portion == 0 {
            return None;
        }
        let mut bytes = match self.held.take() {
            Some(bytes) => bytes,
            None => self.pull().await?,
        };
        let fits = usize::try_from(self.portion).unwrap_or(usize::MAX);
        if bytes.len() > fits {
            self.held = Some(bytes.split_off(fits));
        }
        self.portion -= bytes.len() as u64;
        Some(bytes)
    }

    async fn pull(&mut self) -> Option<Bytes> {
        while !self.ended {
            match self.stream.next().await {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => return Some(bytes),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    self.ended = true;
                }
                None => self.ended = true,
            }
        }
        None
    }

    /// Whether nothing will ever come any more.
    pub fn is_finished(&self) -> bool {
        self.ended && self.held.is_none()
    }

    /// Why it ended early, if it did.
    pub fn failure(&mut self) -> Option<wharf_types::Error> {
        self.failure.take()
    }
}

/// Where a registry keeps what it has.
///
/// Reads see every write that has returned, also one of another server on the same store. Keys are made of letters,
/// digits and `/ . _ - ,`; the registry makes them, never a client.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The document, if it exists.
    async fn get(&self, key: &str) -> Result<Option<Document>>;

    /// How long ago the document was written, if it exists.
    async fn age(&self, key: &str) -> Result<Option<Duration>>;

    /// Writes a document whole or not at all.
    async fn put(&self, key: &str, bytes: Bytes, durability: Durability) -> Result<()>;

    /// Writes a document unless there is one; says whether it did.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<bool>;

    /// Writes documents without content, or makes them new again; they survive a power cut.
    async fn mark(&self, keys: &[String]) -> Result<()>;

    /// Removes documents; those that do not exist are no failure.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// The documents whose key is `prefix` and something without a slash, sorted by name.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// The size of a blob in bytes, if it exists.
    async fn stat(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Some of the bytes of a blob that exists.
    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Content>;

    /// Removes a blob. Whoever reads it at the moment goes on reading, where the store can do that.
    async fn remove(&self, digest: &Digest) -> Result<()>;

    /// The blobs whose digest begins with this byte, sorted.
    async fn blobs(&self, first: u8) -> Result<Vec<Blob>>;

    /// Adds to an upload what the source gives; what came before a failure of the source is kept.
    ///
    /// Changes the value only: the caller saves it as a document.
    async fn append(&self, upload: &mut Upload, source: &mut Source) -> Result<()>;

    /// Makes a blob of an upload whose hash is the digest. It exists whole and synced when this returns.
    async fn commit(&self, upload: &Upload) -> Result<()>;

    /// Forgets the content of an upload.
    async fn discard(&self, upload: &Upload) -> Result<()>;

    /// After how many bytes an upload should be saved, so that a killed server loses no more than that.
    fn portion(&self) -> u64;

    /// A file of this host that grows as the upload does, where there is such a thing.
    fn growing(&self, upload: &Upload) -> Option<std::path::PathBuf>;

    /// Announces that what belongs to a digest may go; see `registry/claim.rs`.
    async fn doom(&self, digest: &Digest) -> Result<()>;

    /// Whether that is announced.
    async fn is_doomed(&self, digest: &Digest) -> Result<bool>;

    /// Takes the announcement back.
    async fn spare(&self, digest: &Digest) -> Result<()>;

    /// Fails if nothing can be written, with the reason.
    async fn check(&self) -> Result<()>;
}
