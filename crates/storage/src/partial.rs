//! Blobs that arrive piece by piece and outlive the process: what was cut off goes on at the byte where it stopped.
//!
//! A [`Partial`] has one writer. Any number of [`Follower`]s read the same file behind it, so that a layer is unpacked
//! while it downloads: the page cache is the buffer between them, and memory stays bounded whoever is slower.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{Advice, AtFlags, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use wharf_types::{Digest, Error, Hasher, Result, ResultExt};

use crate::content::{BlobInfo, StagedBlob};
use crate::dir;
use crate::temporary::Temporary;

/// An unfinished blob that nobody has come back for is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How much is read at once when the beginning is hashed again.
const STEP: usize = 256 * 1024;
/// So many bytes are handed to the disk at a time.
const WRITE_BACK: u64 = 8 << 20;

/// A blob of known digest and size of which the first bytes are here.
///
/// Dropped unfinished, what has been written stays for the next attempt, of this process or another.
pub struct Partial {
    folder: Arc<OwnedFd>,
    file: File,
    hasher: Hasher,
    len: u64,
    written_back: u64,
    promised: BlobInfo,
    growth: Arc<Growth>,
}

impl Partial {
    /// Opens what there is of a blob, or begins it. Waits for another writer of the same blob to end.
    pub(crate) fn open(folder: &Arc<OwnedFd>, promised: BlobInfo) -> Result<Self> {
        let file = open_locked(folder, &promised.digest.hex()).map_err(io::Error::from);
        let file = file.with_context(|| format!("cannot open what there is of {}", promised.digest))?;
        let growth = Arc::default();
        let mut this =
            Self { folder: folder.clone(), file, hasher: Hasher::new(), len: 0, written_back: 0, promised, growth };
        this.take_in().with_context(|| format!("cannot read what there is of {}", promised.digest))?;
        Ok(this)
    }

    /// Hashes what is there. More than was promised is none of it.
    fn take_in(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.promised.size {
            return self.file.set_len(0);
        }
        let mut piece = vec![0; STEP];
        loop {
            match self.file.read_at(&mut piece, self.len)? {
                0 => break,
                read => {
                    self.hasher.update(&piece[..read]);
                    self.len += read as u64;
                }
            }
        }
        self.written_back = self.len;
        self.growth.reach(self.len);
        Ok(())
    }

    /// How many bytes are there.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether as many bytes are there as were promised.
    pub fn is_whole(&self) -> bool {
        self.len == self.promised.size
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// `Corrupt` when there would be more than was promised; nothing is written then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if self.len + bytes.len() as u64 > self.promised.size {
            return Err(Error::corrupt(format!(
                "content {} is longer than the {} bytes that were promised",
                self.promised.digest, self.promised.size
            )));
        }
        self.file.write_all_at(bytes, self.len).context("cannot write content")?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.growth.reach(self.len);
        self.write_back();
        Ok(())
    }

    /// Has the kernel begin to write to disk, so that the sync at the end finds little left to do. Pages that are not
    /// on disk yet stay in memory, so those who follow lose nothing.
    fn write_back(&mut self) {
        let ready = self.len - self.written_back;
        if ready >= WRITE_BACK {
            // It is advice: nothing is lost where it is not taken.
            rustix::fs::fadvise(&self.file, self.written_back, NonZeroU64::new(ready), Advice::DontNeed).ok();
            self.written_back = self.len;
        }
    }

    /// A reader from the first byte on that waits for those to come.
    pub fn follow(&self) -> Result<Follower> {
        let file = self.file.try_clone().context("cannot copy a descriptor")?;
        Ok(Follower { file, at: 0, growth: self.growth.clone() })
    }

    /// Ends the writing. The staged blob, dropped unpublished, stays on disk like an unfinished one.
    ///
    /// # Errors
    /// `Corrupt` where content and promise differ. If all bytes are there, they are wrong and thrown away.
    pub fn finish(self) -> Result<StagedBlob> {
        let BlobInfo { digest, size } = self.promised;
        if self.len != size {
            return Err(Error::corrupt(format!("content {digest} has {} bytes instead of {size}", self.len)));
        }
        let found = self.hasher.clone().finish();
        if found != digest {
            self.discard();
            return Err(Error::corrupt(format!("content has digest {found} instead of {digest}")));
        }
        self.growth.end(Ending::Whole);
        let temporary = Temporary::kept(&self.folder, &digest.hex())?;
        let lock = self.file.try_clone().context("cannot copy a descriptor")?;
        Ok(StagedBlob::new(temporary, self.promised, Some(lock)))
    }

    /// Throws away what there is.
    pub fn discard(self) {
        remove(&self.folder, &self.promised.digest.hex());
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a finish this changes nothing.
        self.growth.end(Ending::Cut);
        if self.len == 0 && self.promised.size > 0 {
            remove(&self.folder, &self.promised.digest.hex());
        }
    }
}

/// Opens a file that nobody else writes. While one waits for the lock, the other may finish and rename the file.
fn open_locked(folder: &OwnedFd, name: &str) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let fd = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o644))?;
        flock(&fd, FlockOperation::LockExclusive)?;
        let opened = dir::inode(&rustix::fs::fstat(&fd)?);
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) if dir::inode(&named) == opened => return Ok(File::from(fd)),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What cannot be removed now is forgotten later.
fn remove(folder: &OwnedFd, name: &str) {
    rustix::fs::unlinkat(folder, name, AtFlags::empty()).ok();
}

/// Removes what nobody has come back for.
pub(crate) fn forget_old(folder: &OwnedFd) -> Result<()> {
    let names = dir::entries(folder.as_fd()).map_err(io::Error::from).context("cannot list unfinished content")?;
    for (name, _) in names {
        if dir::lstat(folder.as_fd(), &name).is_ok_and(|stat| is_old(&stat)) {
            rustix::fs::unlinkat(folder, &name, AtFlags::empty()).ok();
        }
    }
    Ok(())
}

fn is_old(stat: &rustix::fs::Stat) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let written = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    now.saturating_sub(written) > FORGOTTEN
}

/// Unfinished blobs, by the digest they shall have, with the bytes that are there.
pub(crate) fn list(folder: &OwnedFd) -> Result<Vec<BlobInfo>> {
    let names = dir::entries(folder.as_fd()).map_err(io::Error::from).context("cannot list unfinished content")?;
    let info = |name: &std::ffi::CStr| {
        let digest = Digest::from_hex(name.to_str().ok()?).ok()?;
        Some(BlobInfo { digest, size: dir::lstat(folder.as_fd(), name).ok()?.st_size.unsigned_abs() })
    };
    Ok(names.iter().filter_map(|(name, _)| info(name)).collect())
}

/// Those of them that nobody writes and that are of no use any more: `is_here` says that the whole blob has come, or
/// nobody has come back in a week. With `remove` they go; one that a writer takes up meanwhile stays.
pub(crate) fn stale(folder: &OwnedFd, is_here: &dyn Fn(&Digest) -> bool, remove: bool) -> Result<Vec<BlobInfo>> {
    let mut all = list(folder)?;
    all.retain(|blob| {
        let name = blob.digest.hex();
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(folder, name.as_str(), flags, Mode::empty()) else { return false };
        let is_free = flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok();
        let is_stale = is_free && (is_here(&blob.digest) || rustix::fs::fstat(&fd).is_ok_and(|stat| is_old(&stat)));
        if is_stale && remove {
            self::remove(folder, &name);
        }
        is_stale
    });
    Ok(all)
}

/// How far the writer is, for those who follow.
#[derive(Default)]
struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct State {
    len: u64,
    ending: Option<Ending>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    Cut,
}

impl Growth {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self, len: u64) {
        self.state().len = len;
        self.changed.notify_all();
    }

    fn end(&self, ending: Ending) {
        self.state().ending.get_or_insert(ending);
        self.changed.notify_all();
    }

    /// Waits until there is more than `at`, or an end.
    fn beyond(&self, at: u64) -> State {
        let waiting = |state: &mut State| state.len <= at && state.ending.is_none();
        *self.changed.wait_while(self.state(), waiting).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`Partial`] behind its writer, and blocks where that is not yet.
pub struct Follower {
    file: File,
    at: u64,
    growth: Arc<Growth>,
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.growth.beyond(self.at);
        let ready = usize::try_from(state.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if ready == 0 {
            return match state.ending {
                Some(Ending::Whole) => Ok(0),
                _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content broke off")),
            };
        }
        let len = buffer.len().min(ready);
        let read = self.file.read_at(&mut buffer[..len], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use wharf_types::Kind;

    use super::*;
    use crate::ContentStore;

    const TEXT: &[u8] = b"hello, world";

    fn store() -> (tempfile::TempDir, ContentStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        (folder, store)
    }

    fn promised() -> BlobInfo {
        BlobInfo { digest: Digest::of(TEXT), size: TEXT.len() as u64 }
    }

    #[test]
    fn what_nobody_comes_back_for_is_found_and_goes() {
        let (folder, store) = store();
        let begin = || {
            let mut partial = store.resume(promised()).unwrap();
            partial.append(&TEXT[..5]).unwrap();
            partial
        };
        let begun = [BlobInfo { size: 5, ..promised() }];
        let partial = begin();
        let path = folder.path().join("partial").join(promised().digest.hex());
        let week_ago = SystemTime::now() - FORGOTTEN - Duration::from_secs(60);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(week_ago).unwrap();
        assert_eq!(store.stale_partials(true).unwrap(), [], "somebody writes it");
        drop(partial);
        assert_eq!(store.stale_partials(false).unwrap(), begun);
        file.set_modified(SystemTime::now()).unwrap();
        assert_eq!(store.stale_partials(true).unwrap(), [], "somebody may come back for it");
        store.publish(vec![store.stage(TEXT).unwrap()]).unwrap();
        assert_eq!(store.stale_partials(true).unwrap(), begun, "all of it has come another way");
        assert_eq!(store.partials().unwrap(), []);
    }

    #[test]
    fn what_was_cut_off_goes_on_in_another_process() {
        let (folder, store) = store();
        let mut partial = store.resume(promised()).unwrap();
        partial.append(&TEXT[..5]).unwrap();
        drop(partial);
        drop(store);
        let store = ContentStore::open(folder.path()).unwrap();
        assert_eq!(store.partials().unwrap(), [BlobInfo { size: 5, ..promised() }]);
        let mut partial = store.resume(promised()).unwrap();
        assert_eq!(partial.len(), 5);
        partial.append(&TEXT[5..]).unwrap();
        // Whole but not published, it stays as well.
        drop(partial.finish().unwrap());
        let partial = store.resume(promised()).unwrap();
        assert!(partial.is_whole());
        store.publish(vec![partial.finish().unwrap()]).unwrap();
        assert_eq!(store.read(&promised().digest, 100).unwrap(), TEXT);
        assert_eq!(store.partials().unwrap(), []);
    }

    #[test]
    fn a_follower_gets_all_and_waits_for_the_end() {
        let (_folder, store) = store();
        let mut partial = store.resume(promised()).unwrap();
        partial.append(&TEXT[..3]).unwrap();
        let mut follower = partial.follow().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            follower.read_to_end(&mut bytes).map(|_| bytes)
        });
        partial.append(&TEXT[3..]).unwrap();
        let staged = partial.finish().unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), TEXT);
        drop(staged);
    }

    #[test]
    fn a_follower_hears_that_the_writer_gave_up() {
        let (_folder, store) = store();
        let mut partial = store.resume(promised()).unwrap();
        partial.append(&TEXT[..3]).unwrap();
        let mut follower = partial.follow().unwrap();
        drop(partial);
        let error = follower.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn wrong_bytes_are_thrown_away_and_too_many_refused() {
        let (_folder, store) = store();
        let mut partial = store.resume(promised()).unwrap();
        partial.append(b"hello, wurld").unwrap();
        assert_eq!(partial.append(b"!").unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(partial.finish().err().unwrap().kind(), Kind::Corrupt);
        assert_eq!(store.partials().unwrap(), []);
        let mut partial = store.resume(promised()).unwrap();
        partial.append(&TEXT[..3]).unwrap();
        assert_eq!(partial.finish().err().unwrap().kind(), Kind::Corrupt);
        assert_eq!(store.resume(promised()).unwrap().len(), 3, "too few is no reason to throw them away");
    }

    #[test]
    fn a_second_writer_waits_for_the_first() {
        let (_folder, store) = store();
        let mut partial = store.resume(promised()).unwrap();
        partial.append(TEXT).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| store.resume(promised()).unwrap().len());
            let staged = partial.finish().unwrap();
            std::thread::sleep(Duration::from_millis(20));
            store.publish(vec![staged]).unwrap();
            assert_eq!(second.join().unwrap(), 0, "it begins anew, and not in the published file");
        });
        assert_eq!(store.read(&promised().digest, 100).unwrap(), TEXT);
    }
}
