//! Writes a container's output to its json-file log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use wharf_types::{Result, ResultExt};

use super::lines::{Line, Splitter};
use super::rotate::{Rotation, rotate};
use super::{Stream, encode};
use crate::protocol::LogPlan;

/// The log of one container. Output that could not be written is counted, never an error: a full disk stops no container.
pub(crate) struct LogFile {
    sink: Sink,
    streams: [StreamState; 3],
    attrs: Vec<u8>,
}

#[derive(Default)]
struct StreamState {
    splitter: Splitter,
    /// Time of the first piece of a long line, which all its pieces carry.
    partial_since: Option<Box<str>>,
}

impl LogFile {
    /// Opens the log that `plan` asks for, if it asks for one.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn open(plan: &LogPlan) -> Result<Option<Self>> {
        let LogPlan::JsonFile { path, max_size, max_files, compress, attrs } = plan else { return Ok(None) };
        let rotation = Rotation { path: path.clone(), max_files: *max_files, compress: *compress, compressor: None };
        let mut sink = Sink {
            file: open_append(path).with_context(|| format!("cannot open the log file {}", path.display()))?,
            size: 0,
            limit: *max_size,
            rotation,
            batch: Vec::new(),
            lost: Lost::default(),
        };
        sink.size = sink.file.metadata().context("cannot read the size of the log file")?.len();
        Ok(Some(Self { sink, streams: Default::default(), attrs: encode::attributes(attrs) }))
    }

    /// Writes the lines that `chunk` completes, stamped with `now` (RFC 3339), in one write(2).
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8], now: &str) {
        self.sink.batch.reserve(chunk.len() + chunk.len() / 2);
        self.each_line(stream, now, |splitter, emit| splitter.feed(chunk, emit));
    }

    /// The stream has ended: writes what is left of its last line.
    pub(crate) fn finish(&mut self, stream: Stream, now: &str) {
        self.each_line(stream, now, |splitter, emit| splitter.finish(emit));
    }

    /// Waits for the child that compresses a rotated file, if there is one.
    pub(crate) fn wait(&mut self) {
        self.sink.rotation.wait();
    }

    /// Gives memory back that only a busy log needs.
    pub(crate) fn shrink(&mut self) {
        self.sink.batch = Vec::new();
    }

    /// What could not be written so far, as a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        self.sink.lost.describe()
    }

    fn each_line(&mut self, stream: Stream, now: &str, run: impl FnOnce(&mut Splitter, &mut dyn FnMut(Line<'_>))) {
        let Self { sink, streams, attrs } = self;
        let StreamState { splitter, partial_since } = &mut streams[usize::from(stream.number())];
        let tail = tail(stream, attrs, now);
        run(splitter, &mut |line| {
            if line.complete && !line.continued {
                return sink.entry(line.text, true, &tail);
            }
            let since = partial_since.take_if(|_| line.continued).unwrap_or_else(|| now.into());
            sink.entry(line.text, line.complete, &self::tail(stream, attrs, &since));
            if !line.complete {
                *partial_since = Some(since);
            }
        });
        sink.flush();
    }
}

/// Everything in an entry behind its text.
fn tail(stream: Stream, attrs: &[u8], time: &str) -> Vec<u8> {
    let mut tail = Vec::with_capacity(80 + attrs.len());
    tail.extend_from_slice(b"\",\"stream\":\"");
    tail.extend_from_slice(stream.name().as_bytes());
    if !attrs.is_empty() {
        tail.extend_from_slice(b"\",\"attrs\":");
        tail.extend_from_slice(attrs);
        tail.extend_from_slice(b",\"time\":\"");
    } else {
        tail.extend_from_slice(b"\",\"time\":\"");
    }
    tail.extend_from_slice(time.as_bytes());
    tail.extend_from_slice(b"\"}\n");
    tail
}

/// The file with the batch that is about to be written to it.
struct Sink {
    file: File,
    size: u64,
    limit: Option<u64>,
    rotation: Rotation,
    batch: Vec<u8>,
    lost: Lost,
}

impl Sink {
    fn entry(&mut self, text: &[u8], newline: bool, tail: &[u8]) {
        if self.limit.is_some_and(|limit| self.size + self.batch.len() as u64 >= limit) {
            self.flush();
            self.rotate();
        }
        self.batch.extend_from_slice(b"{\"log\":\"");
        encode::escape(&mut self.batch, text);
        if newline {
            self.batch.extend_from_slice(b"\\n");
        }
        self.batch.extend_from_slice(tail);
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match write_whole(&mut self.file, &self.batch) {
            Ok(()) => self.size += self.batch.len() as u64,
            Err((written, error)) => {
                self.lost.add(&self.batch, &error);
                self.take_back(written);
            }
        }
        self.batch.clear();
    }

    /// Removes the part of a batch that did fit, so that the file ends with a whole line.
    fn take_back(&mut self, written: usize) {
        let end = self.file.metadata().map(|data| data.len());
        let restored = end.and_then(|end| self.file.set_len(end.saturating_sub(written as u64)));
        if let Err(error) = restored {
            self.lost.first.get_or_insert_with(|| error.to_string());
        }
    }

    fn rotate(&mut self) {
        // Somebody may have emptied the file in the meantime.
        self.size = self.file.metadata().map_or(self.size, |data| data.len());
        let grown = self.limit.is_some_and(|limit| self.size >= limit);
        if !grown || self.rotation.compressing() {
            return;
        }
        match rotate(&mut self.rotation).and_then(|()| open_append(&self.rotation.path)) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |data| data.len());
                self.file = file;
            }
            Err(error) => self.lost.rotation(&error),
        }
    }
}

fn open_append(path: &PathBuf) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o640).open(path)
}

/// On failure says how many bytes were written before it.
fn write_whole(file: &mut File, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let all = bytes.len();
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err((all - bytes.len(), io::ErrorKind::WriteZero.into())),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((all - bytes.len(), error)),
        }
    }
    Ok(())
}

/// Bookkeeping of what did not reach the file.
#[derive(Default)]
struct Lost {
    lines: u64,
    first: Option<String>,
    rotation: Option<String>,
}

impl Lost {
    fn add(&mut self, batch: &[u8], error: &io::Error) {
        self.lines += memchr::memchr_iter(b'\n', batch).count() as u64;
        self.first.get_or_insert_with(|| error.to_string());
    }

    fn rotation(&mut self, error: &io::Error) {
        self.rotation.get_or_insert_with(|| error.to_string());
    }

    fn describe(&self) -> Option<String> {
        let lines =
            self.first.as_ref().map(|why| format!("{} lines of the log could not be written: {why}", self.lines));
        let rotation = self.rotation.as_ref().map(|why| format!("the log file could not be rotated: {why}"));
        let parts: Vec<_> = lines.into_iter().chain(rotation).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NOW: &str = "2026-01-01T00:00:00.5Z";

    fn plan(path: &std::path::Path, max_size: Option<u64>, max_files: u32, compress: bool) -> LogPlan {
        LogPlan::JsonFile { path: path.to_owned(), max_size, max_files, compress, attrs: Vec::new() }
    }

    #[test]
    fn lines_have_dockers_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x-json.log");
        let mut log = LogFile::open(&plan(&path, None, 1, false)).unwrap().unwrap();
        log.append(Stream::Stdout, b"hello\n<half", NOW);
        log.append(Stream::Stderr, b"oops\n", NOW);
        log.finish(Stream::Stdout, NOW);
        let expected = [
            r#"{"log":"hello\n","stream":"stdout","time":"2026-01-01T00:00:00.5Z"}"#,
            r#"{"log":"oops\n","stream":"stderr","time":"2026-01-01T00:00:00.5Z"}"#,
            r#"{"log":"\u003chalf","stream":"stdout","time":"2026-01-01T00:00:00.5Z"}"#,
        ];
        assert_eq!(fs::read_to_string(&path).unwrap(), expected.join("\n") + "\n");
        assert_eq!(log.problem(), None);
    }

    #[test]
    fn attributes_stand_before_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let attrs = vec![("tag".to_owned(), "web".to_owned())];
        let plan = LogPlan::JsonFile { path: path.clone(), max_size: None, max_files: 1, compress: false, attrs };
        LogFile::open(&plan).unwrap().unwrap().append(Stream::Stdout, b"x\n", NOW);
        let expected = r#"{"log":"x\n","stream":"stdout","attrs":{"tag":"web"},"time":"2026-01-01T00:00:00.5Z"}"#;
        assert_eq!(fs::read_to_string(&path).unwrap().trim_end(), expected);
    }

    #[test]
    fn all_pieces_of_a_long_line_carry_the_time_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&plan(&path, None, 1, false)).unwrap().unwrap();
        log.append(Stream::Stdout, &[b'x'; 20_000], "first");
        log.append(Stream::Stdout, &[b'x'; 20_000], "second");
        log.append(Stream::Stdout, b"\nnext\n", "third");
        let text = fs::read_to_string(&path).unwrap();
        let times: Vec<_> = text.lines().map(|line| line.rsplit('"').nth(1).unwrap()).collect();
        assert_eq!(times, ["first", "first", "first", "third"]);
    }

    #[test]
    fn a_full_disk_loses_lines_but_never_leaves_half_a_one() {
        let mut sink = Sink {
            file: File::options().write(true).open("/dev/full").unwrap(),
            size: 0,
            limit: None,
            rotation: Rotation { path: "/dev/full".into(), max_files: 1, compress: false, compressor: None },
            batch: Vec::new(),
            lost: Lost::default(),
        };
        sink.entry(b"one", true, b"\"}\n");
        sink.entry(b"two", true, b"\"}\n");
        sink.flush();
        assert!(sink.lost.describe().unwrap().starts_with("2 lines of the log could not be written: No space left"));
        assert!(sink.batch.is_empty());
    }

    #[test]
    fn rotation_keeps_the_newest_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&plan(&path, Some(100), 3, false)).unwrap().unwrap();
        for number in 0..10 {
            log.append(Stream::Stdout, format!("line {number}\n").as_bytes(), NOW);
        }
        let lines = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
        assert_eq!((lines("log"), lines("log.1"), lines("log.2")), (2, 2, 2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        assert!(fs::read_to_string(&path).unwrap().contains("line 9"));
    }

    #[test]
    fn one_file_only_starts_again_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&plan(&path, Some(100), 1, false)).unwrap().unwrap();
        for number in 0..5 {
            log.append(Stream::Stdout, format!("line {number}\n").as_bytes(), NOW);
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
