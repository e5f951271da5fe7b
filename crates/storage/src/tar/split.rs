//! A tar stream without the contents of its files: what is needed, together with the unpacked files, to give the very
//! same bytes again.
//!
//! The form, compressed with zstd: a sequence of records, each a kind and a length as 9 bytes (`u8`, little-endian
//! `u64`). Kind 0: so many bytes of the stream follow. Kind 1: so many bytes of the stream are in a file; its path (a
//! record of kind 0) and the offset in it (8 bytes) follow.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use rustix::fs::{FileType, OFlags};
use wharf_types::{Error, Result, ResultExt};

use super::place::{Place, open_in_root};
use super::{Entry, EntryKind, Limits, Reader};

const LITERAL: u8 = 0;
const FROM_FILE: u8 = 1;
/// Strong enough for headers, which repeat themselves.
const LEVEL: i32 = 3;
/// Bytes of one header or of what follows the last entry at most.
const MAX_HEARD: usize = 64 << 20;
/// The longest path that is read back, in bytes.
const MAX_PATH: usize = 64 * 1024;

/// Reads a plain tar stream to its end and writes to `out` what of it is not in the files below `root`.
///
/// File contents that are not there as the stream has them (replaced by a later entry, say) are written too, so the
/// stream can always be joined again.
pub(crate) fn split(stream: impl Read, root: BorrowedFd<'_>, limits: &Limits, out: impl Write) -> Result<()> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let mut reader = Reader::new(Overhear { stream, heard: heard.clone() }, limits);
    let mut records = Records { out: zstd::Encoder::new(out, LEVEL).context("cannot start zstd")?, heard, taken: 0 };
    let write = |error| Error::system("cannot write down how a layer is packed").caused_by(error);
    while let Some(entry) = reader.next_entry()? {
        records.literal_until(reader.offset()).map_err(write)?;
        if entry.kind == EntryKind::File {
            split_file(&entry, root, &mut reader, &mut records)?;
        }
    }
    // Nobody needs to know where the archive ends; the bytes after it belong to the stream as well.
    reader.finish(true)?;
    records.literal_rest().map_err(write)?;
    records.out.finish().and_then(|mut out| out.flush()).map_err(write)
}

fn split_file<R: Read, W: Write>(
    entry: &Entry,
    root: BorrowedFd<'_>,
    reader: &mut Reader<R>,
    records: &mut Records<W>,
) -> Result<()> {
    let write = |error| Error::system("cannot write down how a layer is packed").caused_by(error);
    let path = Place::of(&entry.path)?.path();
    let file = open_file(root, &path);
    let mut pieces = entry.sparse.clone().unwrap_or_else(|| vec![(0, entry.size)]).into_iter();
    let (mut at, mut left) = (0, 0);
    loop {
        let Some(len) = reader.data()?.map(<[u8]>::len) else { return Ok(()) };
        let mut bytes = records.take(len);
        while !bytes.is_empty() {
            while left == 0 {
                (at, left) = pieces.next().ok_or_else(|| Error::corrupt("a sparse file has more data than its map"))?;
            }
            let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let rest = bytes.split_off(len);
            let is_in_file = file.as_ref().is_some_and(|file| holds(file, at, &bytes));
            let written = if is_in_file { records.in_file(&path, at, len) } else { records.literal(&bytes) };
            written.map_err(write)?;
            (at, left) = (at + len as u64, left - len as u64);
            bytes = rest;
        }
    }
}

fn open_file(root: BorrowedFd<'_>, path: &CString) -> Option<File> {
    let fd = open_in_root(root, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| File::from(fd))
}

fn holds(file: &File, at: u64, expected: &[u8]) -> bool {
    let mut found = vec![0; expected.len()];
    file.read_exact_at(&mut found, at).is_ok() && found == expected
}

/// Passes a stream on and keeps what was read of it.
struct Overhear<R> {
    stream: R,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl<R: Read> Read for Overhear<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        let mut heard = self.heard.borrow_mut();
        if heard.len() > MAX_HEARD {
            return Err(io::Error::other("it has more bytes beside its files than can be noted"));
        }
        heard.extend_from_slice(&buffer[..len]);
        Ok(len)
    }
}

struct Records<W: Write> {
    out: zstd::Encoder<'static, W>,
    /// What was read of the stream and not yet taken: never more than one buffer and one header.
    heard: Rc<RefCell<Vec<u8>>>,
    /// How many bytes of the stream were taken.
    taken: u64,
}

impl<W: Write> Records<W> {
    fn take(&mut self, len: usize) -> Vec<u8> {
        self.taken += len as u64;
        self.heard.borrow_mut().drain(..len).collect()
    }

    fn literal_until(&mut self, offset: u64) -> io::Result<()> {
        let len = usize::try_from(offset - self.taken).map_err(io::Error::other)?;
        let bytes = self.take(len);
        self.literal(&bytes)
    }

    fn literal_rest(&mut self) -> io::Result<()> {
        let len = self.heard.borrow().len();
        let bytes = self.take(len);
        self.literal(&bytes)
    }

    fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.head(LITERAL, bytes.len())?;
        self.out.write_all(bytes)
    }

    fn in_file(&mut self, path: &CString, at: u64, len: usize) -> io::Result<()> {
        self.head(FROM_FILE, len)?;
        self.literal(path.as_bytes())?;
        self.out.write_all(&at.to_le_bytes())
    }

    fn head(&mut self, kind: u8, len: usize) -> io::Result<()> {
        self.out.write_all(&[kind])?;
        self.out.write_all(&(len as u64).to_le_bytes())
    }
}

/// The stream that was [`split`], from its records and the files below a root.
pub(crate) struct Joined<R: Read> {
    records: zstd::Decoder<'static, BufReader<R>>,
    root: OwnedFd,
    file: Option<(CString, File)>,
    current: Source,
}

enum Source {
    Literal(u64),
    File { at: u64, left: u64 },
}

impl<R: Read> Joined<R> {
    pub(crate) fn new(records: R, root: OwnedFd) -> io::Result<Self> {
        Ok(Self { records: zstd::Decoder::new(records)?, root, file: None, current: Source::Literal(0) })
    }

    /// Begins the next record; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let mut kind = [0];
        if self.records.read(&mut kind)? == 0 {
            return Ok(false);
        }
        let len = self.number()?;
        self.current = match kind[0] {
            LITERAL => Source::Literal(len),
            FROM_FILE => {
                let path = self.path()?;
                let at = self.number()?;
                if self.file.as_ref().is_none_or(|(known, _)| *known != path) {
                    let opened = open_file(self.root.as_fd(), &path);
                    self.file = Some((path, opened.ok_or(io::ErrorKind::NotFound)?));
                }
                Source::File { at, left: len }
            }
            _ => return Err(damaged()),
        };
        Ok(true)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.records.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn path(&mut self) -> io::Result<CString> {
        let mut kind = [0];
        self.records.read_exact(&mut kind)?;
        let len = usize::try_from(self.number()?).ok().filter(|len| kind[0] == LITERAL && *len <= MAX_PATH);
        let mut path = vec![0; len.ok_or_else(damaged)?];
        self.records.read_exact(&mut path)?;
        CString::new(path).map_err(|_| damaged())
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the notes on how a layer is packed are damaged")
}

impl<R: Read> Joined<R> {
    /// The next bytes; 0 at the end.
    fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (Source::Literal(left) | Source::File { left, .. }) = &self.current;
            let max = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
            if max == 0 {
                match self.next()? {
                    true => continue,
                    false => return Ok(0),
                }
            }
            let len = match (&self.current, &self.file) {
                (Source::File { at, .. }, Some((_, file))) => file.read_at(&mut buffer[..max], *at)?,
                _ => self.records.read(&mut buffer[..max])?,
            };
            match &mut self.current {
                _ if len == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Source::Literal(left) => *left -= len as u64,
                Source::File { at, left } => (*at, *left) = (*at + len as u64, *left - len as u64),
            }
            return Ok(len);
        }
    }
}

impl<R: Read> Read for Joined<R> {
    /// Fills the buffer while there is something: what some compressors make depends on how much they get at once.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => break,
                len => filled += len,
            }
        }
        Ok(filled)
    }
}
