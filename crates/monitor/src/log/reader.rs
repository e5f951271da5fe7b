//! Reads a json-file log with its rotated files, oldest entry first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use wharf_types::{Result, ResultExt};

use super::rotate::numbered;
use super::{Entry, Stream, seek, tail};

const READ: usize = 64 * 1024;

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Those of standard input, where it is recorded.
    pub stdin: bool,
    /// Those of standard output.
    pub stdout: bool,
    /// Those of standard error.
    pub stderr: bool,
    /// None older than this.
    pub since: Option<Timestamp>,
    /// None younger than this.
    pub until: Option<Timestamp>,
    /// Only this many from the end, counted as Docker does: before all other conditions.
    pub tail: Option<usize>,
}

impl Default for Filter {
    /// Everything.
    fn default() -> Self {
        Self { stdin: true, stdout: true, stderr: true, since: None, until: None, tail: None }
    }
}

impl Filter {
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let stream = match entry.stream {
            Stream::Stdin => self.stdin,
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        stream && self.since.is_none_or(|since| entry.time >= since)
    }

    pub(super) fn ends_before(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| entry.time > until)
    }
}

/// The entries of a log, from the oldest wanted one to the last that is in the files now. In the place of damaged lines
/// stands one entry that says so.
#[derive(Debug)]
pub struct Reader {
    pub(super) segments: VecDeque<Segment>,
    pub(super) filter: Filter,
    pub(super) ended: bool,
    /// How many bytes before the next entry could not be read.
    damaged: usize,
    /// The entry that comes after the word about them.
    held: Option<Entry>,
}

impl Reader {
    /// Opens the log at `path` with its rotated files; a log that is not there (yet) has no entries.
    ///
    /// # Errors
    /// A file is there but cannot be read.
    pub fn open(path: &Path, filter: Filter) -> Result<Self> {
        let segments = open_all(path, &filter).with_context(|| format!("cannot read the log {}", path.display()))?;
        Ok(Self { segments, filter, ended: false, damaged: 0, held: None })
    }

    /// The next entry; `None` when there is none left. More may come if the log is still written to.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.held.take() {
            return Ok(Some(entry));
        }
        while !self.ended {
            let Some(segment) = self.segments.front_mut() else { return Ok(None) };
            let Some(line) = segment.next_line()? else {
                if self.segments.len() == 1 {
                    return Ok(None);
                }
                self.segments.pop_front();
                continue;
            };
            let (entry, damaged) = match Entry::parse(line) {
                Some(entry) => (Some(entry), 0),
                None => rescue(line),
            };
            self.damaged += damaged;
            let Some(entry) = entry else { continue };
            if self.filter.since.is_some_and(|since| entry.time < since) {
                // Neither it nor the damage before it was asked for.
                self.damaged = 0;
                continue;
            }
            self.ended = self.filter.ends_before(&entry);
            if !self.ended && self.filter.wants(&entry) {
                return Ok(Some(self.after_gap(entry)));
            }
        }
        Ok(None)
    }
}

impl Reader {
    /// The entry, or first the word about what is missing before it.
    fn after_gap(&mut self, entry: Entry) -> Entry {
        match std::mem::take(&mut self.damaged) {
            0 => entry,
            bytes => {
                let gap = Entry::gap(bytes, &entry);
                self.held = Some(entry);
                gap
            }
        }
    }
}

/// What can be read of a damaged line, and how many bytes cannot: a write that was cut off stands before a whole entry.
fn rescue(line: &[u8]) -> (Option<Entry>, usize) {
    let begins = memchr::memmem::rfind(line, b"{\"log\":\"").filter(|at| *at > 0);
    let entry = begins.and_then(|at| Some((Entry::parse(&line[at..])?, at)));
    entry.map_or((None, line.len() + 1), |(entry, at)| (Some(entry), at))
}

impl Iterator for Reader {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

/// Opens the files from the newest to the oldest, so that a rotation in between can only show one twice, never hide one.
pub(super) fn open_all(path: &Path, filter: &Filter) -> io::Result<VecDeque<Segment>> {
    let mut segments = VecDeque::new();
    let mut wanted = filter.tail;
    let since = filter.since.filter(|_| filter.tail.is_none());
    let mut seen = Vec::new();
    for number in 0.. {
        if wanted == Some(0) && number > 0 {
            break;
        }
        let Some((file, compressed)) = open_numbered(path, number)? else { if number == 0 { continue } else { break } };
        let identity = identity(&file)?;
        if seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        let mut segment = Segment::new(file, compressed);
        if let Some(wanted) = &mut wanted {
            *wanted -= segment.skip_to_tail(*wanted)?;
        }
        let reaches_back = match since {
            Some(since) => segment.skip_to_time(since)?,
            None => false,
        };
        segments.push_front(segment);
        if reaches_back {
            break;
        }
    }
    Ok(segments)
}

fn open_numbered(path: &Path, number: u32) -> io::Result<Option<(File, bool)>> {
    let names = match number {
        0 => vec![(path.to_owned(), false)],
        _ => vec![(numbered(path, number, false), false), (numbered(path, number, true), true)],
    };
    for (name, compressed) in names {
        match File::open(name) {
            Ok(file) => return Ok(Some((file, compressed))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Device and inode.
pub(super) fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|data| (data.dev(), data.ino()))
}

/// One file of the log, read line by line.
#[derive(Debug)]
pub(super) struct Segment {
    source: Source,
    buffer: Vec<u8>,
    /// The part of `buffer` that has been handed out.
    taken: usize,
    /// Where to go on looking for a newline.
    searched: usize,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    Gzip(Box<MultiGzDecoder<File>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read(buffer),
            Source::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

impl Segment {
    pub(super) fn new(file: File, compressed: bool) -> Self {
        let source = match compressed {
            true => Source::Gzip(Box::new(MultiGzDecoder::new(file))),
            false => Source::Plain(file),
        };
        Self { source, buffer: Vec::new(), taken: 0, searched: 0 }
    }

    /// The file, unless it is a compressed one.
    pub(super) fn plain(&self) -> Option<&File> {
        match &self.source {
            Source::Plain(file) => Some(file),
            Source::Gzip(_) => None,
        }
    }

    /// Starts again from the beginning of the file.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        (self.taken, self.searched) = (0, 0);
        self.buffer.clear();
        match &mut self.source {
            Source::Plain(file) => file.rewind(),
            Source::Gzip(decoder) => {
                let mut file = decoder.get_ref().try_clone()?;
                file.rewind()?;
                **decoder = MultiGzDecoder::new(file);
                Ok(())
            }
        }
    }

    /// Passes over all but the last `count` lines; returns how many are left.
    fn skip_to_tail(&mut self, count: usize) -> io::Result<usize> {
        if let Source::Plain(file) = &mut self.source {
            let found = tail::tail(file, count)?;
            file.seek(SeekFrom::Start(found.offset))?;
            return Ok(found.lines);
        }
        let mut lines = 0;
        while self.next_line()?.is_some() {
            lines += 1;
        }
        self.rewind()?;
        for _ in count..lines {
            self.next_line()?;
        }
        Ok(lines.min(count))
    }

    /// Passes over what is older than `since`, as far as that can be told without reading it; whether the file begins
    /// before, so that no older one is of interest.
    fn skip_to_time(&mut self, since: Timestamp) -> io::Result<bool> {
        let Source::Plain(file) = &mut self.source else {
            let first = self.next_line()?.and_then(Entry::parse);
            self.rewind()?;
            return Ok(first.is_some_and(|first| first.time < since));
        };
        let offset = seek::offset_of(file, since)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(offset > 0)
    }

    /// The next complete line without its newline; `None` if there is none yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.taken..self.searched + at;
                self.taken = line.end + 1;
                self.searched = self.taken;
                return Ok(Some(&self.buffer[line]));
            }
            self.searched = self.buffer.len();
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        let length = self.buffer.len();
        self.buffer.resize(length + READ, 0);
        let count = self.source.read(&mut self.buffer[length..]);
        self.buffer.truncate(length + count.as_ref().copied().unwrap_or(0));
        match count {
            // A file that is still being compressed or was cut short ends where it ends.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            count => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn line(text: &str, stream: &str, second: u32) -> String {
        format!("{{\"log\":\"{text}\\n\",\"stream\":\"{stream}\",\"time\":\"2026-01-01T00:00:{second:02}Z\"}}\n")
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn log() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let oldest = line("a", "stdout", 1) + &line("b", "stderr", 2);
        fs::write(numbered(&path, 2, true), gzip(&oldest)).unwrap();
        fs::write(numbered(&path, 1, false), line("c", "stdout", 3) + "damaged\n" + &line("d", "stderr", 4)).unwrap();
        fs::write(&path, line("e", "stdout", 5) + &line("f", "stdout", 6) + "{\"log\":\"unfin").unwrap();
        (folder, path)
    }

    fn read(path: &Path, filter: Filter) -> String {
        let entries = Reader::open(path, filter).unwrap().map(|entry| entry.unwrap().text);
        String::from_utf8(entries.flatten().filter(|&byte| byte != b'\n').collect()).unwrap()
    }

    #[test]
    fn all_files_are_read_in_order() {
        let (_folder, path) = log();
        assert_eq!(read(&path, Filter::default()), "abc[8 bytes of the log are damaged]def");
        assert_eq!(read(&path, Filter { stdout: false, ..Filter::default() }), "b[8 bytes of the log are damaged]d");
        assert_eq!(read(&path.with_extension("none"), Filter::default()), "");
    }

    #[test]
    fn the_tail_reaches_into_older_files() {
        let (_folder, path) = log();
        let tails = (0..8).map(|count| read(&path, Filter { tail: Some(count), ..Filter::default() }));
        // The damaged line counts as a line.
        let gap = "[8 bytes of the log are damaged]";
        let with_gap = |text: &str| text.replace('-', gap);
        let expected = ["", "f", "ef", "def", "-def", "c-def", "bc-def", "abc-def"].map(with_gap);
        assert_eq!(tails.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn since_and_until_bound_the_time() {
        let (_folder, path) = log();
        let at = |second: u32| Some(format!("2026-01-01T00:00:{second:02}Z").parse().unwrap());
        assert_eq!(
            read(&path, Filter { since: at(2), until: at(4), ..Filter::default() }),
            "bc[8 bytes of the log are damaged]d"
        );
        assert_eq!(read(&path, Filter { since: at(5), ..Filter::default() }), "ef");
    }

    #[test]
    fn an_entry_behind_a_write_that_was_cut_off_is_rescued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, line("a", "stdout", 1) + "{\"log\":\"half\0\0\0" + &line("b", "stdout", 2)).unwrap();
        assert_eq!(read(&path, Filter::default()), "a[15 bytes of the log are damaged]b");
    }
}
