//! The files that clients sent, kept from build to build so that only differences travel.
//!
//! A client names its context by a key and lists what is in it: names, modes, sizes, times. What the engine has under that
//! key with the same size and time is not sent again; the rest comes as a tar. Each context is a folder with an index of
//! what is in it and its digests. The index goes before the folder changes and comes back afterwards: whatever a crash
//! leaves without an index is sent anew.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use wharf_api::build::ContextEntry;
use wharf_build::files::Tree;
use wharf_build::host::Files;
use wharf_build::ignore::Ignore;
use wharf_storage::tar::{self, Limits};
use wharf_types::{Digest, Error, Hasher, Result, ResultExt};

use crate::names;

/// How long a context waits for its build.
const PATIENCE: Duration = Duration::from_secs(600);
/// The largest Dockerfile in bytes.
const MOST: u64 = 16 << 20;
const INDEX: &str = "index.json";
const FILES: &str = "fs";
/// The bits of a mode that say what a file is, and those of a folder.
const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// All contexts; clones share them.
#[derive(Clone)]
pub struct Contexts {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    locks: HashMap<String, Arc<RwLock<()>>>,
    waiting: HashMap<String, Waiting>,
}

/// A context between the comparison and its build.
struct Waiting {
    key: String,
    entries: Vec<ContextEntry>,
    guard: Guard,
    temporary: bool,
    complete: bool,
    since: Instant,
}

#[allow(dead_code)] // guards are there to be held
enum Guard {
    Read(OwnedRwLockReadGuard<()>),
    Write(OwnedRwLockWriteGuard<()>),
}

/// What a client still has to send.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Under which name to send it, and to build with it.
    pub id: String,
    /// The numbers of the entries.
    pub entries: Vec<usize>,
}

/// A context in use: nobody changes it meanwhile.
pub struct ContextLease {
    /// Its files.
    pub files: Files,
    _guard: Guard,
    _temporary: Option<Remove>,
}

impl ContextLease {
    /// A small text of the context, whatever `.dockerignore` says; `None` where it is missing.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn read(&self, path: &str) -> Result<Option<String>> {
        let (tree, path) = (self.files.tree.clone(), path.to_owned());
        crate::blocking(move || {
            use rustix::fs::OFlags;
            let Ok(file) = tree.open(&path, OFlags::RDONLY | OFlags::NONBLOCK) else { return Ok(None) };
            let mut bytes = Vec::new();
            let mut limited = File::from(file).take(MOST);
            limited.read_to_end(&mut bytes).with_context(|| format!("cannot read {path}"))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        })
        .await
    }
}

/// The folder of a context that nobody has yet.
pub(super) struct Fresh {
    temporary: Remove,
    pub(super) path: PathBuf,
    guard: Guard,
}

/// Opens a part of a context, which no link leads out of.
fn open_part(whole: &Path, part: &str) -> Result<(OwnedFd, PathBuf)> {
    use rustix::fs::{Mode, OFlags};
    let root = File::open(whole).with_context(|| format!("cannot open {}", whole.display()))?;
    if part.is_empty() {
        return Ok((root.into(), whole.to_owned()));
    }
    let missing = || Error::not_found(format!("the context has no folder {part:?}"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = wharf_sys::path::open_in_root(&root, part, flags, Mode::empty()).map_err(|_| missing())?;
    // The name that the kernel has for it: links have been followed, inside only.
    let path = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&opened)));
    Ok((opened, path.context("cannot find the context's folder")?))
}

struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a context was not removed; the next engine does it");
        }
    }
}

/// What a context's folder holds.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    entries: BTreeMap<String, Known>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Known {
    entry: ContextEntry,
    #[serde(default)]
    digest: Option<Digest>,
}

impl Contexts {
    /// Opens the folder; what was for one build only is removed.
    pub(crate) fn open(root: PathBuf) -> Result<Self> {
        if let Ok(entries) = fs::read_dir(&root) {
            for entry in entries.flatten() {
                let is_temporary = entry.file_name().to_string_lossy().contains('-');
                if is_temporary || !entry.path().join(INDEX).exists() {
                    drop(Remove(entry.path()));
                }
            }
        }
        Ok(Self { root, state: Arc::default() })
    }

    /// Tells which of the entries are not here as they are there.
    ///
    /// # Errors
    /// `InvalidParameter` for a key that is none or a path that leads out.
    pub async fn compare(&self, key: &str, entries: Vec<ContextEntry>) -> Result<Missing> {
        if key.len() != 64 || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::invalid("the key of a context is 64 hexadecimal digits"));
        }
        if let Some(entry) = entries.iter().find(|entry| !is_plain(&entry.path)) {
            return Err(Error::invalid(format!("the context has a path that leads out of it: {:?}", entry.path)));
        }
        let lock = self.lock_of(key);
        if let Ok(guard) = Arc::clone(&lock).try_write_owned() {
            return self.begin(key.to_owned(), entries, Guard::Write(guard), false).await;
        }
        // Another build uses it: fine as long as nothing has changed, else this one gets a copy of its own.
        let guard = lock.read_owned().await;
        let (folder, listed) = (self.root.join(key), entries.clone());
        let same = crate::blocking(move || {
            Ok(missing(&read_index(&folder), &listed).is_empty() && stale(&read_index(&folder), &listed).is_empty())
        })
        .await?;
        if same {
            return self.begin(key.to_owned(), entries, Guard::Read(guard), false).await;
        }
        let own = format!("{key}-{}", names::fresh_id().short());
        let lock = self.lock_of(&own).try_write_owned().map_err(|_| Error::system("a fresh context is in use"))?;
        self.begin(own, entries, Guard::Write(lock), true).await
    }

    async fn begin(&self, key: String, entries: Vec<ContextEntry>, guard: Guard, temporary: bool) -> Result<Missing> {
        let folder = self.root.join(&key);
        let (missing, stale, entries) = crate::blocking(move || {
            let index = read_index(&folder);
            Ok((missing(&index, &entries), stale(&index, &entries), entries))
        })
        .await?;
        let id = names::fresh_id().to_string();
        let complete = missing.is_empty() && stale.is_empty() && self.root.join(&key).join(INDEX).exists();
        let mut waiting = Waiting { key, entries, guard, temporary, complete, since: Instant::now() };
        let missing = Missing { id: id.clone(), entries: missing };
        if !complete && missing.entries.is_empty() {
            // Only removals: nothing has to be sent for them.
            waiting = self.apply(waiting, std::io::empty()).await?;
        }
        let mut state = self.state();
        state.waiting.retain(|_, waiting| waiting.since.elapsed() < PATIENCE);
        state.waiting.insert(id, waiting);
        Ok(missing)
    }

    /// Takes what was missing, as a tar.
    ///
    /// # Errors
    /// `NotFound` for an id that nobody waits for, `Corrupt` where something is still missing.
    pub async fn fill(&self, id: &str, tar: impl Read + Send + 'static) -> Result<()> {
        let waiting = self.state().waiting.remove(id).ok_or_else(|| no_such(id))?;
        let waiting = self.apply(waiting, tar).await?;
        self.state().waiting.insert(id.to_owned(), waiting);
        Ok(())
    }

    async fn apply(&self, mut waiting: Waiting, tar: impl Read + Send + 'static) -> Result<Waiting> {
        let folder = self.root.join(&waiting.key);
        let entries = std::mem::take(&mut waiting.entries);
        waiting.entries = crate::blocking(move || {
            update(&folder, &entries, tar)?;
            Ok(entries)
        })
        .await?;
        waiting.complete = true;
        Ok(waiting)
    }

    /// Takes a whole context as a tar, compressed or not, for one build. What its `.dockerignore` names is left out of it.
    ///
    /// # Errors
    /// `Corrupt` for what is no archive.
    pub async fn receive(&self, tar: impl Read + Send + 'static) -> Result<ContextLease> {
        let fresh = self.fresh().await?;
        let at = fresh.path.clone();
        crate::blocking(move || {
            let root = File::open(&at).with_context(|| format!("cannot open {}", at.display()))?;
            let (_, stream) = wharf_storage::decompress(tar).context("cannot read the context")?;
            tar::extract(stream, root.as_fd(), &Limits::default()).context("cannot take the context")
        })
        .await?;
        self.lease_fresh(fresh, "").await
    }

    /// An empty folder for a context of one build.
    pub(super) async fn fresh(&self) -> Result<Fresh> {
        let key = format!("{}-{}", "0".repeat(64), names::fresh_id().short());
        let guard = self.lock_of(&key).try_read_owned().map_err(|_| Error::system("a fresh context is in use"))?;
        let folder = self.root.join(&key);
        let path = folder.join(FILES);
        let at = path.clone();
        let temporary = crate::blocking(move || {
            fs::create_dir_all(&at).with_context(|| format!("cannot create {}", at.display()))?;
            Ok(Remove(folder))
        });
        Ok(Fresh { temporary: temporary.await?, path, guard: Guard::Read(guard) })
    }

    /// Lends what is in the folder, or in a part of it, by its own `.dockerignore`.
    pub(super) async fn lease_fresh(&self, fresh: Fresh, part: &str) -> Result<ContextLease> {
        let Fresh { temporary, path, guard } = fresh;
        let (whole, part) = (path, part.trim_matches('/').to_owned());
        let (root, path) = crate::blocking(move || open_part(&whole, &part)).await?;
        let tree = Tree::of_context(root, Ignore::default(), HashMap::new());
        let mut lease = ContextLease { files: Files { tree, path }, _guard: guard, _temporary: Some(temporary) };
        if let Some(text) = lease.read(".dockerignore").await? {
            let ignore = Ignore::parse(&text).map_err(Error::invalid)?;
            let root = lease.files.tree.root().try_clone_to_owned().context("cannot copy a descriptor")?;
            lease.files.tree = Tree::of_context(root, ignore, HashMap::new());
        }
        Ok(lease)
    }

    /// The files of a context that is complete.
    ///
    /// # Errors
    /// `NotFound` for an id that nobody waits for, `Conflict` where something is still missing.
    pub async fn take(&self, id: &str) -> Result<ContextLease> {
        let waiting = self.state().waiting.remove(id).ok_or_else(|| no_such(id))?;
        if !waiting.complete {
            return Err(Error::conflict("the context is not complete").with_hint("send what is missing first"));
        }
        let folder = self.root.join(&waiting.key);
        let path = folder.join(FILES);
        let at = path.clone();
        let tree = crate::blocking(move || {
            let known = read_index(&folder).entries.into_iter().filter_map(|(path, known)| Some((path, known.digest?)));
            let root = File::open(&at).with_context(|| format!("cannot open {}", at.display()))?;
            Ok(Tree::of_context(OwnedFd::from(root), Ignore::default(), known.collect()))
        })
        .await?;
        let temporary = waiting.temporary.then(|| Remove(self.root.join(&waiting.key)));
        let guard = match waiting.guard {
            Guard::Write(guard) => Guard::Read(guard.downgrade()),
            read => read,
        };
        Ok(ContextLease { files: Files { tree, path }, _guard: guard, _temporary: temporary })
    }

    /// Removes the files of contexts that no build uses.
    pub(crate) fn clear_unused(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten() {
            let key = entry.file_name().to_string_lossy().into_owned();
            let lock = self.lock_of(&key);
            if let Ok(_guard) = lock.try_write() {
                // The index first: without it nobody takes the rest for a context.
                drop(fs::remove_file(entry.path().join(INDEX)));
                drop(Remove(entry.path()));
            }
        }
    }

    fn lock_of(&self, key: &str) -> Arc<RwLock<()>> {
        let mut state = self.state();
        state.locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(state.locks.entry(key.to_owned()).or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_such(id: &str) -> Error {
    Error::not_found(format!("no context {id} is waiting for its build"))
}

/// Relative, without anything that leads elsewhere.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn read_index(folder: &Path) -> Index {
    fs::read(folder.join(INDEX)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The numbers of the entries that are not here as they are listed.
fn missing(index: &Index, entries: &[ContextEntry]) -> Vec<usize> {
    let is_here = |entry: &ContextEntry| index.entries.get(&entry.path).is_some_and(|known| known.entry == *entry);
    entries.iter().enumerate().filter(|(_, entry)| !is_here(entry)).map(|(number, _)| number).collect()
}

/// What is here and not listed, or has become something else; what is in a folder before the folder.
fn stale(index: &Index, entries: &[ContextEntry]) -> Vec<String> {
    let listed: HashMap<&str, &ContextEntry> = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let is_stale = |path: &str, known: &Known| match listed.get(path) {
        None => true,
        Some(entry) => entry.mode & KIND != known.entry.mode & KIND,
    };
    let all = index.entries.iter().rev();
    all.filter(|(path, known)| is_stale(path, known)).map(|(path, _)| path.clone()).collect()
}

/// Makes the folder what the entries say, with what comes as a tar.
fn update(folder: &Path, entries: &[ContextEntry], tar: impl Read) -> Result<()> {
    let files = folder.join(FILES);
    let index = read_index(folder);
    let (missing, stale) = (missing(&index, entries), stale(&index, entries));
    match fs::remove_file(folder.join(INDEX)) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Without an index nobody knows what is there.
            drop(fs::remove_dir_all(&files));
        }
        Err(error) => return Err(error).context("cannot change a context"),
    }
    fs::create_dir_all(&files).with_context(|| format!("cannot create {}", files.display()))?;
    for path in stale {
        let path = files.join(path);
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|data| data.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    let root = File::open(&files).with_context(|| format!("cannot open {}", files.display()))?;
    if !missing.is_empty() {
        tar::extract(tar, root.as_fd(), &Limits::default()).context("cannot take the context")?;
    }
    let index = reindex(&files, &index, entries, &missing)?;
    write_index(folder, &index)
}

fn reindex(files: &Path, old: &Index, entries: &[ContextEntry], missing: &[usize]) -> Result<Index> {
    let mut index = Index::default();
    let missing: std::collections::HashSet<usize> = missing.iter().copied().collect();
    for (number, entry) in entries.iter().enumerate() {
        let known = old.entries.get(&entry.path).filter(|_| !missing.contains(&number));
        let digest = match known {
            Some(known) => known.digest,
            None if entry.mode & KIND == REGULAR => Some(digest_of(&files.join(&entry.path), entry)?),
            None => None,
        };
        if entry.mode & KIND == FOLDER && !files.join(&entry.path).is_dir() {
            return Err(incomplete(&entry.path));
        }
        index.entries.insert(entry.path.clone(), Known { entry: entry.clone(), digest });
    }
    Ok(index)
}

fn digest_of(path: &Path, entry: &ContextEntry) -> Result<Digest> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|data| data.is_file() && data.len() == entry.size);
    if !is_file {
        return Err(incomplete(&entry.path));
    }
    let mut hasher = Hasher::new();
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    std::io::copy(&mut file, &mut hasher).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hasher.finish())
}

fn incomplete(path: &str) -> Error {
    Error::corrupt(format!("{path:?} changed while the context was sent")).with_hint("build again")
}

fn write_index(folder: &Path, index: &Index) -> Result<()> {
    let bytes =
        serde_json::to_vec(index).map_err(std::io::Error::from).context("cannot write the index of a context")?;
    let aside = folder.join("index.new");
    fs::write(&aside, bytes)
        .and_then(|()| fs::rename(&aside, folder.join(INDEX)))
        .context("cannot write the index of a context")
}
