//! The content store: an OCI image layout on disk, which skopeo, umoci or crane can read in place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use wharf_types::{Digest, Error, Hasher, Result, ResultExt};

use crate::partial::{self, Partial};
use crate::temporary::{Grave, Temporary};
use crate::{Usage, dir, removal};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Blobs up to this size in bytes are documents rather than layers.
const SMALL: u64 = 64 * 1024;

/// A digest and the size in bytes of the content that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobInfo {
    /// The SHA-256 of the content.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// An OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/<hex>`, `ingest/` for what is being written, and
/// `partial/<hex>` for what arrives over time and may be continued by a later process.
///
/// All methods take `&self` and may be called from several threads; only one process may have the store open.
pub struct ContentStore {
    path: PathBuf,
    root: OwnedFd,
    blobs: OwnedFd,
    ingest: Arc<OwnedFd>,
    partial: Arc<OwnedFd>,
    index_lock: Mutex<()>,
}

impl ContentStore {
    /// Opens the layout in folder `root`, making it where it is missing, and removes what a crash left in `ingest/`.
    pub fn open(root: &Path) -> Result<Self> {
        let fd = dir::open_or_create(root)?;
        let blobs = dir::subdir(fd.as_fd(), "blobs", 0o755)?;
        let sha256 = dir::subdir(blobs.as_fd(), "sha256", 0o755)?;
        let ingest = dir::subdir(fd.as_fd(), "ingest", 0o700)?;
        let partial = dir::subdir(fd.as_fd(), "partial", 0o700)?;
        partial::forget_old(&partial)?;
        let leftovers = removal::remove_contents(ingest.try_clone().context("cannot copy a descriptor")?);
        leftovers.map_err(io::Error::from).context("cannot remove unfinished content")?;
        let store = Self {
            path: root.to_owned(),
            root: fd,
            blobs: sha256,
            ingest: Arc::new(ingest),
            partial: Arc::new(partial),
            index_lock: Mutex::default(),
        };
        store.write_if_missing("oci-layout", LAYOUT)?;
        store.write_if_missing("index.json", EMPTY_INDEX)?;
        Ok(store)
    }

    /// The folder of the layout.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Begins to write a blob aside.
    pub fn ingest(&self) -> Result<Ingest> {
        let (temporary, file) = Temporary::file(&self.ingest)?;
        Ok(Ingest { temporary, file, hasher: Hasher::new(), size: 0 })
    }

    /// Goes on with a blob that was begun earlier, or begins it. May wait for another writer, and reads what is there.
    pub fn resume(&self, promised: BlobInfo) -> Result<Partial> {
        Partial::open(&self.partial, promised)
    }

    /// Blobs that were begun and not published: their digests, and how many bytes are there.
    pub fn partials(&self) -> Result<Vec<BlobInfo>> {
        partial::list(&self.partial)
    }

    /// Those of them that nobody writes and nobody will come back for, after a week or because all of it is here; with
    /// `remove` they go.
    pub fn stale_partials(&self, remove: bool) -> Result<Vec<BlobInfo>> {
        partial::stale(&self.partial, &|digest| self.has(digest), remove)
    }

    /// Stages `bytes`.
    pub fn stage(&self, bytes: &[u8]) -> Result<StagedBlob> {
        let mut ingest = self.ingest()?;
        ingest.write_all(bytes).context("cannot write content")?;
        ingest.finish(None, None)
    }

    /// Makes staged blobs durable, then present, all with one sync of the names. What is already there is dropped.
    pub fn publish(&self, blobs: Vec<StagedBlob>) -> Result<()> {
        let missing: Vec<_> = blobs.into_iter().filter(|blob| !self.has_whole(blob.info)).collect();
        for blob in &missing {
            blob.sync()?;
        }
        self.publish_synced(missing)
    }

    /// Makes durable all that was written to the file system of this store (`syncfs`).
    pub fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.blobs).map_err(io::Error::from).context("cannot sync the content")
    }

    /// Makes a blob present without making it durable, on the conditions of
    /// [`LayerStore::present_unsynced`](crate::LayerStore::present_unsynced).
    pub fn present_unsynced(&self, blob: &StagedBlob) -> Result<()> {
        if self.has(&blob.info.digest) { Ok(()) } else { self.rename(blob) }
    }

    /// As [`ContentStore::publish`] after a `syncfs` has already made the bytes durable.
    pub fn publish_synced(&self, blobs: Vec<StagedBlob>) -> Result<()> {
        let mut renamed = false;
        for blob in blobs {
            if !self.has_whole(blob.info) {
                self.rename(&blob)?;
                renamed = true;
            }
        }
        if renamed { dir::sync_names(self.blobs.as_fd()) } else { Ok(()) }
    }

    fn rename(&self, blob: &StagedBlob) -> Result<()> {
        let (from, name) = (&blob.temporary, blob.info.digest.hex());
        let renamed = rustix::fs::renameat(from.parent(), from.name(), &self.blobs, name);
        renamed.map_err(io::Error::from).with_context(|| format!("cannot store {}", blob.info.digest))
    }

    /// Opens a blob for reading; `NotFound` where it is missing.
    pub fn reader(&self, digest: &Digest) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.blobs, digest.hex(), flags, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(Errno::NOENT) => Err(missing(digest)),
            Err(error) => Err(io::Error::from(error)).with_context(|| format!("cannot open content {digest}")),
        }
    }

    /// Reads a whole blob of at most `limit` bytes and verifies it; `Corrupt` where it does not match its digest.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut limited = self.reader(digest)?.take(limit + 1);
        limited.read_to_end(&mut bytes).with_context(|| format!("cannot read content {digest}"))?;
        if bytes.len() as u64 > limit {
            return Err(Error::invalid(format!("content {digest} is larger than the {limit} bytes allowed for it")));
        }
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(damaged(digest)) }
    }

    /// Whether the blob is present.
    pub fn has(&self, digest: &Digest) -> bool {
        self.size(digest).is_ok()
    }

    /// Whether there is no need to store it again. Small blobs are looked into, so that storing an image anew heals
    /// its documents; large ones are for [`ContentStore::verify`].
    fn has_whole(&self, blob: BlobInfo) -> bool {
        let is_small = blob.size <= SMALL;
        self.size(&blob.digest).is_ok_and(|size| size == blob.size) && (!is_small || self.verify(&blob.digest).is_ok())
    }

    /// The blob's size in bytes; `NotFound` where it is missing.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        match rustix::fs::statat(&self.blobs, digest.hex(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(stat.st_size.unsigned_abs())
            }
            Ok(_) => Err(damaged(digest)),
            Err(Errno::NOENT) => Err(missing(digest)),
            Err(error) => Err(io::Error::from(error)).with_context(|| format!("cannot examine content {digest}")),
        }
    }

    /// Removes a blob; one that is missing is fine.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let removed = self.take_out(digest)?.map_or(Ok(()), Grave::delete).map_err(io::Error::from);
        removed.with_context(|| format!("cannot remove content {digest}"))
    }

    /// Takes a blob out of sight at once; it is deleted when the [`Grave`] is dropped. `None` where it is missing.
    pub fn take_out(&self, digest: &Digest) -> Result<Option<Grave>> {
        let grave = Grave::dig(&self.ingest, self.blobs.as_fd(), &digest.hex()).map_err(io::Error::from);
        grave.with_context(|| format!("cannot remove content {digest}"))
    }

    /// All blobs with their sizes, in no particular order. Files that are no blobs are left out.
    pub fn list(&self) -> Result<Vec<BlobInfo>> {
        let names = dir::entries(self.blobs.as_fd()).map_err(io::Error::from).context("cannot list the content")?;
        let digests = names.iter().filter_map(|(name, _)| Digest::from_hex(name.to_str().ok()?).ok());
        Ok(digests.filter_map(|digest| Some(BlobInfo { digest, size: self.size(&digest).ok()? })).collect())
    }

    /// Space that all blobs take on disk in bytes, as `du` counts it, with those that are there in part only.
    pub fn disk_usage(&self) -> Result<u64> {
        let mut disk = 0;
        for folder in [self.blobs.as_fd(), self.ingest.as_fd(), self.partial.as_fd()] {
            disk += Usage::of(folder)?.disk;
        }
        Ok(disk)
    }

    /// The names among the blobs that are none.
    pub fn strays(&self) -> Result<Vec<String>> {
        let names = dir::entries(self.blobs.as_fd()).map_err(io::Error::from).context("cannot list the content")?;
        let text = names.iter().map(|(name, _)| name.to_string_lossy().into_owned());
        Ok(text.filter(|name| Digest::from_hex(name).is_err()).collect())
    }

    /// Reads all of a blob and compares it with its digest: `Corrupt` or `NotFound` where something is wrong.
    pub fn verify(&self, digest: &Digest) -> Result<()> {
        let mut hasher = Hasher::new();
        io::copy(&mut self.reader(digest)?, &mut hasher).with_context(|| format!("cannot read content {digest}"))?;
        if hasher.finish() == *digest { Ok(()) } else { Err(damaged(digest)) }
    }

    /// The bytes of `index.json`.
    pub fn read_index(&self) -> Result<Vec<u8>> {
        std::fs::read(self.path.join("index.json")).context("cannot read index.json of the content store")
    }

    /// Keeps a copy of an `index.json` that cannot be read as `index.json.damaged`.
    pub fn keep_damaged_index(&self, bytes: &[u8]) -> Result<()> {
        self.write_file("index.json.damaged", bytes)
    }

    /// Replaces `index.json` atomically and durably.
    pub fn replace_index(&self, bytes: &[u8]) -> Result<()> {
        let _guard = self.index_lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_file("index.json", bytes)
    }

    /// The folder `blobs/sha256`, for a `syncfs`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.blobs.as_fd()
    }

    fn write_if_missing(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match rustix::fs::statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()),
            Err(_) => self.write_file(name, bytes),
        }
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (temporary, mut file) = Temporary::file(&self.ingest)?;
        let write = || -> io::Result<()> {
            file.write_all(bytes)?;
            file.sync_data()?;
            Ok(rustix::fs::renameat(temporary.parent(), temporary.name(), &self.root, name)?)
        };
        let mut write = write;
        write().with_context(|| format!("cannot write {name} of the content store"))?;
        dir::sync_names(self.root.as_fd())
    }
}

fn missing(digest: &Digest) -> Error {
    Error::not_found(format!("content {digest} is not in the store"))
}

fn damaged(digest: &Digest) -> Error {
    Error::corrupt(format!("content {digest} is damaged on disk"))
}

/// A blob being written. Dropped unfinished, it leaves nothing.
pub struct Ingest {
    temporary: Temporary,
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Ingest {
    /// Ends the writing and compares with what was promised: `Corrupt` on another digest or size.
    pub fn finish(self, digest: Option<Digest>, size: Option<u64>) -> Result<StagedBlob> {
        let info = BlobInfo { digest: self.hasher.finish(), size: self.size };
        if let Some(expected) = size.filter(|expected| *expected != info.size) {
            return Err(Error::corrupt(format!("content has {} bytes instead of {expected}", info.size)));
        }
        if let Some(expected) = digest.filter(|expected| *expected != info.digest) {
            return Err(Error::corrupt(format!("content has digest {} instead of {expected}", info.digest)));
        }
        Ok(StagedBlob::new(self.temporary, info, None))
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A complete and verified blob that is not yet present in the store. Dropped unpublished, it leaves nothing.
pub struct StagedBlob {
    temporary: Temporary,
    info: BlobInfo,
    /// The locked file of a resumed blob: nobody else writes it until it is published or dropped.
    _lock: Option<File>,
}

impl StagedBlob {
    pub(crate) fn new(temporary: Temporary, info: BlobInfo, lock: Option<File>) -> Self {
        Self { temporary, info, _lock: lock }
    }

    /// Digest and size.
    pub fn info(&self) -> BlobInfo {
        self.info
    }

    /// Opens it for reading from the first byte on.
    pub fn reader(&self) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.temporary.parent(), self.temporary.name(), flags, Mode::empty());
        fd.map(File::from).map_err(io::Error::from).context("cannot open staged content")
    }

    fn sync(&self) -> Result<()> {
        self.reader()?.sync_data().with_context(|| format!("cannot sync content {}", self.info.digest))
    }
}

#[cfg(test)]
mod tests {
    use wharf_types::Kind;

    use super::*;

    fn store() -> (tempfile::TempDir, ContentStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_published_is_read_back() {
        let (folder, store) = store();
        let blob = store.stage(b"hello").unwrap();
        let digest = blob.info().digest;
        assert!(!store.has(&digest));
        store.publish(vec![blob, store.stage(b"hello").unwrap()]).unwrap();
        store.publish(vec![store.stage(b"hello").unwrap()]).unwrap();
        assert_eq!(store.read(&digest, 5).unwrap(), b"hello");
        assert_eq!(store.read(&digest, 4).unwrap_err().kind(), Kind::InvalidParameter);
        assert_eq!(store.list().unwrap(), [BlobInfo { digest, size: 5 }]);
        assert_eq!(std::fs::read_dir(folder.path().join("ingest")).unwrap().count(), 0);
        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert_eq!(store.reader(&digest).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_wrong_digest_or_size_leaves_nothing() {
        let (folder, store) = store();
        for (digest, size) in [(Some(Digest::of(b"x")), None), (None, Some(4))] {
            let mut ingest = store.ingest().unwrap();
            ingest.write_all(b"hello").unwrap();
            assert_eq!(ingest.finish(digest, size).err().unwrap().kind(), Kind::Corrupt);
        }
        assert_eq!(std::fs::read_dir(folder.path().join("ingest")).unwrap().count(), 0);
        assert_eq!(store.list().unwrap(), []);
    }

    #[test]
    fn damage_is_found() {
        let (folder, store) = store();
        let blob = store.stage(b"hello").unwrap();
        let digest = blob.info().digest;
        store.publish(vec![blob]).unwrap();
        store.verify(&digest).unwrap();
        std::fs::write(folder.path().join("blobs/sha256").join(digest.hex()), b"hallo").unwrap();
        assert_eq!(store.verify(&digest).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.read(&digest, 9).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn opening_cleans_up_and_keeps_the_index() {
        let (folder, store) = store();
        store.replace_index(b"{}").unwrap();
        drop(store);
        std::fs::write(folder.path().join("ingest/left"), b"x").unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        assert_eq!(store.read_index().unwrap(), b"{}");
        assert!(!folder.path().join("ingest/left").exists());
        assert_eq!(std::fs::read(folder.path().join("oci-layout")).unwrap(), LAYOUT);
    }
}
