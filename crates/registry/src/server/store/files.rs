//! The embedded store: a folder of this host.
//!
//! ```text
//! blobs/sha256/ab/abcd…     content, complete and synced
//! uploads/ID.data           content that arrives
//! aside/                    documents before they are renamed into place
//! everything else           documents, by their keys
//! lock                      held by the one process that serves this folder
//! ```
//!
//! Nothing is read at the start but the lock, so a store of any size starts at once.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::mpsc;
use wharf_types::{Digest, Error, Result, ResultExt};

use super::{Blob, Content, Document, Durability, Entry, Source, Store, Upload};
use crate::server::hash::RollingHash;

/// How many pieces from the network wait for the disk at most.
const QUEUE: usize = 8;
/// How often an upload is saved.
const PORTION: u64 = 64 << 20;

/// A folder of this host.
#[derive(Clone)]
pub struct FileStore(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// Keeps other processes away.
    _lock: File,
    doomed: Mutex<HashSet<Digest>>,
    next: AtomicU64,
}

impl FileStore {
    /// Opens the folder, making it where it is missing.
    ///
    /// Fails with `Conflict` where another process serves the same folder.
    pub fn open(root: &Path) -> Result<Self> {
        let unusable = || format!("the registry's folder {} cannot be used", root.display());
        for folder in ["blobs/sha256", "uploads", "aside", "uses"] {
            make_folder(&root.join(folder)).with_context(unusable).map_err(|error| {
                error.with_hint("choose a folder that this user may write with --root, or change its owner")
            })?;
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(root.join("lock"));
        let lock = lock.with_context(unusable).map_err(|error| {
            error.with_hint("choose a folder that this user may write with --root, or change its owner")
        })?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::conflict(format!("another registry serves {}", root.display()))
                .with_hint("stop that one, choose another folder with --root, or serve a bucket with several servers")
        })?;
        let inner = Inner { root: root.to_owned(), _lock: lock, doomed: Mutex::default(), next: AtomicU64::new(0) };
        inner.clear_aside();
        Ok(Self(Arc::new(inner)))
    }

    /// Runs blocking work on the store aside.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|error| Error::system(error.to_string()))?
    }
}

impl Inner {
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    fn data(&self, id: &str) -> PathBuf {
        self.root.join("uploads").join(format!("{id}.data"))
    }

    /// What a killed process left half-written; there is only ever a handful.
    fn clear_aside(&self) {
        for entry in fs::read_dir(self.path("aside")).into_iter().flatten().flatten() {
            // What cannot be removed now is only in the way of space.
            let _ = fs::remove_file(entry.path());
        }
    }

    fn write_aside(&self, bytes: &[u8], durability: Durability) -> Result<PathBuf> {
        let path = self.path("aside").join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        Ok(path)
    }

    fn put(&self, key: &str, bytes: &[u8], durability: Durability) -> Result<()> {
        let (aside, target) = (self.write_aside(bytes, durability)?, self.path(key));
        in_folder(&target, || fs::rename(&aside, &target)).with_context(|| format!("cannot write {key}"))?;
        if durability == Durability::Synced { sync_folders(&[target]) } else { Ok(()) }
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let (aside, target) = (self.write_aside(bytes, Durability::Synced)?, self.path(key));
        let linked = in_folder(&target, || fs::hard_link(&aside, &target));
        fs::remove_file(&aside)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            other => {
                other.with_context(|| format!("cannot write {key}"))?;
                sync_folders(&[target])?;
                Ok(true)
            }
        }
    }

    fn mark(&self, keys: &[String]) -> Result<()> {
        let paths: Vec<PathBuf> = keys.iter().map(|key| self.path(key)).collect();
        for path in &paths {
            let open = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
            let file = in_folder(path, open).with_context(|| format!("cannot write {}", path.display()))?;
            file.set_modified(SystemTime::now())?;
        }
        sync_folders(&paths)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let listing = match fs::read_dir(self.path(folder)) {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            other => other.with_context(|| format!("cannot list {folder}"))?,
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with(start) || !entry.file_type()?.is_file() {
                continue;
            }
            // One that is removed meanwhile is none.
            if let Ok(metadata) = entry.metadata() {
                entries.push(Entry { name, age: age(&metadata) });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn blobs(&self, first: u8) -> Result<Vec<Blob>> {
        let listing = match fs::read_dir(self.root.join(format!("blobs/sha256/{first:02x}"))) {
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            other => other.context("cannot list the blobs")?,
        };
        let mut blobs = Vec::new();
        for entry in listing {
            let entry = entry?;
            let digest = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok());
            if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                blobs.push(Blob { digest, size: metadata.len(), age: age(&metadata) });
            }
        }
        blobs.sort_by_key(|blob| blob.digest);
        Ok(blobs)
    }

    fn commit(&self, upload: &Upload) -> Result<()> {
        let (data, target) = (self.data(&upload.id), self.blob(&upload.hash.digest()));
        if fs::metadata(&target).is_ok_and(|metadata| metadata.len() == upload.offset()) {
            return remove(&data);
        }
        // Nothing was ever sent: the empty blob.
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&data)?;
        // A killed server may have written more than it has said.
        file.set_len(upload.offset())?;
        file.sync_all().context("cannot sync a blob")?;
        in_folder(&target, || fs::rename(&data, &target)).context("cannot put a blob in its place")?;
        sync_folders(&[target])
    }
}

#[async_trait::async_trait]
impl Store for FileStore {
    async fn get(&self, key: &str) -> Result<Option<Document>> {
        let path = self.0.path(key);
        self.blocking(move |_| {
            let mut file = match File::open(&path) {
                Err(error) if is_missing(&error) => return Ok(None),
                other => other.with_context(|| format!("cannot read {}", path.display()))?,
            };
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut file, &mut bytes)?;
            Ok(Some(Document { bytes: bytes.into(), age: age(&file.metadata()?) }))
        })
        .await
    }

    async fn age(&self, key: &str) -> Result<Option<Duration>> {
        // A look at the metadata is no work to hand over for.
        stat(&self.0.path(key)).map(|found| found.as_ref().map(age))
    }

    async fn put(&self, key: &str, bytes: Bytes, durability: Durability) -> Result<()> {
        let key = key.to_owned();
        self.blocking(move |inner| inner.put(&key, &bytes, durability)).await
    }

    async fn create(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let key = key.to_owned();
        self.blocking(move |inner| inner.create(&key, &bytes)).await
    }

    async fn mark(&self, keys: &[String]) -> Result<()> {
        let keys = keys.to_vec();
        self.blocking(move |inner| inner.mark(&keys)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let paths: Vec<PathBuf> = keys.iter().map(|key| self.0.path(key)).collect();
        self.blocking(move |_| {
            paths.iter().try_for_each(|path| remove(path))?;
            // What is said to be gone stays gone after a power cut.
            sync_folders(&paths)
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let prefix = prefix.to_owned();
        self.blocking(move |inner| inner.list(&prefix)).await
    }

    async fn stat(&self, digest: &Digest) -> Result<Option<u64>> {
        stat(&self.0.blob(digest)).map(|found| found.map(|metadata| metadata.len()))
    }

    async fn read(&self, digest: &Digest, range: Range<u64>) -> Result<Content> {
        let path = self.0.blob(digest);
        let file = File::open(&path).with_context(|| format!("cannot read {digest}"))?;
        Ok(Content::File { file, range })
    }

    async fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.0.blob(digest);
        self.blocking(move |_| remove(&path)).await
    }

    async fn blobs(&self, first: u8) -> Result<Vec<Blob>> {
        self.blocking(move |inner| inner.blobs(first)).await
    }

    async fn append(&self, upload: &mut Upload, source: &mut Source) -> Result<()> {
        let path = self.0.data(&upload.id);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.context("cannot write an upload")?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let hash = upload.hash.clone();
        let writer = tokio::task::spawn_blocking(move || write_all(&file, hash, receiver));
        while let Some(bytes) = source.next().await {
            if sender.send(bytes).await.is_err() {
                break; // The writer has failed, and says why.
            }
        }
        drop(sender);
        let (hash, written) = writer.await.map_err(|error| Error::system(error.to_string()))?;
        upload.hash = hash;
        written
    }

    async fn commit(&self, upload: &Upload) -> Result<()> {
        let upload = upload.clone();
        self.blocking(move |inner| inner.commit(&upload)).await
    }

    async fn discard(&self, upload: &Upload) -> Result<()> {
        let path = self.0.data(&upload.id);
        self.blocking(move |_| remove(&path)).await
    }

    fn portion(&self) -> u64 {
        PORTION
    }

    fn growing(&self, upload: &Upload) -> Option<PathBuf> {
        Some(self.0.data(&upload.id))
    }

    async fn doom(&self, digest: &Digest) -> Result<()> {
        self.0.doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        Ok(())
    }

    async fn is_doomed(&self, digest: &Digest) -> Result<bool> {
        Ok(self.0.doomed.lock().unwrap_or_else(PoisonError::into_inner).contains(digest))
    }

    async fn spare(&self, digest: &Digest) -> Result<()> {
        self.0.doomed.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        self.blocking(|inner| {
            let aside = inner.write_aside(b"", Durability::Written)?;
            remove(&aside)
        })
        .await
    }
}

/// Hashes and writes what comes through the channel, from the hash's own length on.
fn write_all(file: &File, mut hash: RollingHash, mut receiver: mpsc::Receiver<Bytes>) -> (RollingHash, Result<()>) {
    use std::os::unix::fs::FileExt;
    while let Some(bytes) = receiver.blocking_recv() {
        if let Err(error) = file.write_all_at(&bytes, hash.length()).context("cannot write an upload") {
            return (hash, Err(error));
        }
        hash.update(&bytes);
    }
    (hash, Ok(()))
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Does something with a path, whose folder is made if it turns out to be missing.
fn in_folder<T>(path: &Path, mut action: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    // The garbage collector removes no folders, so twice is enough.
    match action() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folder)?;
            action()
        }
        other => other,
    }
}

/// Syncs the folders that these paths are in, each once.
fn sync_folders(paths: &[PathBuf]) -> Result<()> {
    let folders: HashSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    for folder in folders {
        match File::open(folder) {
            Err(error) if is_missing(&error) => {}
            other => other.and_then(|file| file.sync_all()).context("cannot sync a folder")?,
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_missing(&error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
        _ => Ok(()),
    }
}

fn stat(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Err(error) if is_missing(&error) => Ok(None),
        other => other.map(Some).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// A file where a folder should be is as good as none.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A clock that was set back makes nothing old.
fn age(metadata: &fs::Metadata) -> Duration {
    metadata.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fulfils_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        crate::server::store::suite::fulfils_the_contract(&store, &store).await;
    }

    #[tokio::test]
    async fn is_served_by_one_process_only() {
        let folder = tempfile::tempdir().unwrap();
        let _first = FileStore::open(folder.path()).unwrap();
        let error = FileStore::open(folder.path()).err().unwrap();
        assert_eq!(error.kind(), wharf_types::Kind::Conflict);
    }
}
