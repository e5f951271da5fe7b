//! Follows a json-file log that is being written, across rotation.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wharf_types::{Result, ResultExt};

use super::reader::{Segment, identity, open_all};
use super::rotate::numbered;
use super::{Entry, Filter, Reader};
use crate::readiness::watch;

/// How often to look where the kernel gives no notice.
const POLL: Duration = Duration::from_millis(200);

/// How many entries are handed out at once.
const BATCH: usize = 256;

/// The entries of a log, and then those that come while one waits. Needs a tokio runtime.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    reader: Reader,
    notice: Option<AsyncFd<OwnedFd>>,
}

impl Follower {
    /// Opens the log at `path`, which need not be there yet; its folder must be.
    ///
    /// # Errors
    /// A file is there but cannot be read.
    pub fn open(path: &Path, filter: Filter) -> Result<Self> {
        // First the watch, then the files: what is written in between is seen.
        let notice = watch_folder(path);
        Ok(Self { path: path.to_owned(), reader: Reader::open(path, filter)?, notice })
    }

    /// Waits for the next entries; `None` once the filter's `until` has passed. Cancellation loses nothing.
    ///
    /// # Errors
    /// A file cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        loop {
            let entries = self.available()?;
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
            if self.reader.ended {
                return Ok(None);
            }
            self.wait().await;
        }
    }

    /// What is there now, a batch at most, without waiting; empty when all has been read. For the end of a container.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn available(&mut self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while entries.len() < BATCH {
            match self.reader.next_entry().context("cannot read the log")? {
                Some(entry) => entries.push(entry),
                None if self.reader.ended || !self.advance().context("cannot read the rotated log")? => break,
                None => {}
            }
        }
        Ok(entries)
    }

    /// Goes on to the file that follows the one that has been read; whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        let current = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(read) = self.reader.segments.front_mut() else {
            // The log has begun since, and may have been rotated already.
            self.reader.segments = open_all(&self.path, &Filter::default())?;
            return Ok(!self.reader.segments.is_empty());
        };
        let Some(old) = read.plain() else { return self.replace(vec![current]) };
        if identity(old)? == identity(&current)? {
            return if was_emptied(old)? { read.rewind().map(|()| true) } else { Ok(false) };
        }
        // Lines may have come between the last read and the rename.
        if old.metadata()?.len() > position(old)? {
            return Ok(true);
        }
        let mut newer = younger_files(&self.path, identity(old)?)?;
        newer.push(current);
        self.replace(newer)
    }

    fn replace(&mut self, files: Vec<File>) -> io::Result<bool> {
        self.reader.segments = files.into_iter().map(|file| Segment::new(file, false)).collect();
        Ok(true)
    }

    async fn wait(&self) {
        let Some(notice) = &self.notice else { return tokio::time::sleep(POLL).await };
        let Ok(mut ready) = notice.readable().await else { return tokio::time::sleep(POLL).await };
        // What exactly happened does not matter: the files are looked at anyway.
        let mut events = [0; 4096];
        while rustix::io::read(notice.get_ref(), &mut events).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
    }
}

fn position(mut file: &File) -> io::Result<u64> {
    io::Seek::stream_position(&mut file)
}

fn was_emptied(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.len() < position(file)?)
}

/// The rotated, not yet compressed files that are younger than the one of this identity, oldest first.
fn younger_files(path: &Path, read: (u64, u64)) -> io::Result<Vec<File>> {
    let mut younger = Vec::new();
    for number in 1.. {
        let Ok(file) = File::open(numbered(path, number, false)) else { return Ok(Vec::new()) };
        if identity(&file)? == read {
            break;
        }
        younger.insert(0, file);
    }
    Ok(younger)
}

/// A watch on the log's folder; none if the host has no more of them to give.
fn watch_folder(path: &Path) -> Option<AsyncFd<OwnedFd>> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(&inotify, path.parent()?, flags).ok()?;
    watch(inotify, Interest::READABLE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogFile, Stream};
    use crate::protocol::LogPlan;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn plan(path: &Path, max_files: u32) -> LogPlan {
        LogPlan::JsonFile { path: path.to_owned(), max_size: Some(600), max_files, compress: false, attrs: Vec::new() }
    }

    async fn collect(follower: &mut Follower, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let entries = follower.next().await.unwrap().unwrap();
            texts.extend(entries.into_iter().map(|entry| String::from_utf8(entry.text).unwrap()));
        }
        texts
    }

    #[tokio::test]
    async fn lines_are_followed_across_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut follower = Follower::open(&path, Filter::default()).unwrap();
        let mut log = LogFile::open(&plan(&path, 5)).unwrap().unwrap();
        for round in 0..10 {
            let expected: Vec<_> = (0..15).map(|number| format!("{round}-{number}\n")).collect();
            for line in &expected {
                log.append(Stream::Stdout, line.as_bytes(), NOW);
            }
            assert_eq!(collect(&mut follower, 15).await, expected);
        }
        assert!(folder.path().join("log.4").exists());
    }

    #[tokio::test]
    async fn a_log_of_one_file_that_starts_again_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&plan(&path, 1)).unwrap().unwrap();
        let mut follower = Follower::open(&path, Filter::default()).unwrap();
        for number in 0..40 {
            let line = format!("line {number}\n");
            log.append(Stream::Stdout, line.as_bytes(), NOW);
            assert_eq!(collect(&mut follower, 1).await, [line]);
        }
    }

    #[tokio::test]
    async fn following_waits_for_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut follower = Follower::open(&path, Filter::default()).unwrap();
        let writer = tokio::spawn(async move {
            tokio::task::yield_now().await;
            let mut log = LogFile::open(&plan(&path, 1)).unwrap().unwrap();
            log.append(Stream::Stderr, b"late\n", NOW);
        });
        assert_eq!(collect(&mut follower, 1).await, ["late\n"]);
        writer.await.unwrap();
    }
}
