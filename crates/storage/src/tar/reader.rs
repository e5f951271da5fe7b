//! Reading a tar stream entry by entry: V7, ustar, GNU and PAX, sparse files of all kinds, in bounded memory.

use std::io::Read;

use wharf_types::{Error, Result};

use super::Limits;
use super::entry::{Entry, EntryKind, printable};
use super::header::{BLOCK, Header};
use super::pax::{Pax, decimal};
use super::source::Source;
use super::sparse::{self, MAX_PIECES, Piece};

/// The longest PAX header or GNU long name in bytes.
const MAX_EXTENSION: u64 = 1 << 20;

/// Reads the entries of a plain tar stream in order.
pub struct Reader<R> {
    source: Source<R>,
    limits: Limits,
    entries: u64,
    /// Bytes of the current entry's data that were not read yet, and of the padding after it.
    remaining: u64,
    padding: u64,
    has_end: bool,
}

/// What extension headers said about the next entry.
#[derive(Default)]
struct Pending {
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// A reader at the start of `stream`.
    pub fn new(stream: R, limits: &Limits) -> Self {
        let source = Source::new(stream, limits.bytes);
        Self { source, limits: *limits, entries: 0, remaining: 0, padding: 0, has_end: false }
    }

    /// The next entry, `None` after the last. Data of the current one that was not read is skipped.
    ///
    /// # Errors
    /// `Corrupt` for a damaged stream or one that ends within an entry, `InvalidParameter` for what is no tar stream
    /// at all and for what goes beyond the limits.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut pending = Pending::default();
        loop {
            self.skip_data()?;
            let Some(block) = self.header_block()? else { return Ok(None) };
            let header = Header::parse(&block).ok_or_else(|| self.not_a_header())?;
            if !self.extension(&header, &mut pending)? {
                self.count_entry()?;
                return self.entry(&header, pending).map(Some);
            }
        }
    }

    /// The next piece of the current entry's data; `None` at its end. Of sparse files, only what is no hole.
    pub fn data(&mut self) -> Result<Option<&[u8]>> {
        if self.remaining == 0 {
            return Ok(None);
        }
        let piece = self.source.take(self.remaining)?;
        if piece.is_empty() {
            return Err(truncated());
        }
        self.remaining -= piece.len() as u64;
        Ok(Some(piece))
    }

    /// Bytes of the stream read so far.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Number of entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads on to the end of the stream.
    ///
    /// # Errors
    /// `Corrupt` when the stream has no end mark (a block of zeros), which is how a cut between two entries shows.
    pub fn end(self) -> Result<()> {
        self.finish(false).map(drop)
    }

    /// As [`Reader::end`], and gives the stream back. `end_is_known` says that the mark may be missing, because
    /// the digest will tell a cut.
    pub(crate) fn finish(mut self, end_is_known: bool) -> Result<R> {
        if self.source.offset() == 0 && self.source.take(1)?.is_empty() {
            return Err(Error::invalid("the archive is empty"));
        }
        if !self.has_end && !end_is_known {
            return Err(truncated());
        }
        self.source.drain()?;
        Ok(self.source.into_inner())
    }

    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        match self.source.read_full(&mut block)? {
            0 => Ok(None),
            BLOCK if block.iter().all(|b| *b == 0) => {
                self.has_end = true;
                Ok(None)
            }
            BLOCK => Ok(Some(block)),
            len if self.source.offset() == len as u64 => Err(not_a_tar()),
            _ => Err(truncated()),
        }
    }

    fn not_a_header(&self) -> Error {
        let at = self.source.offset() - BLOCK as u64;
        match at {
            0 => not_a_tar(),
            _ => Error::corrupt(format!("the archive is damaged at byte {at}: there should be a header")),
        }
    }

    /// Takes a header that only speaks about the next one. `false` when it is an entry itself.
    fn extension(&mut self, header: &Header<'_>, pending: &mut Pending) -> Result<bool> {
        match header.kind() {
            b'x' | b'X' => {
                let bytes = self.extension_data(header)?;
                pending.pax = Pax::parse(&bytes).ok_or_else(|| self.bad_field("a PAX header"))?;
            }
            b'L' => pending.long_name = Some(self.extension_text(header)?),
            b'K' => pending.long_link = Some(self.extension_text(header)?),
            // Global PAX headers (a commit id of git archive) and volume labels mean nothing to a file system.
            b'g' | b'V' => self.begin_data(self.stored_size(header)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn extension_data(&mut self, header: &Header<'_>) -> Result<Vec<u8>> {
        let size = self.stored_size(header)?;
        if size > MAX_EXTENSION {
            return Err(Error::invalid(format!("the archive has a name or PAX header of {size} bytes")));
        }
        self.begin_data(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read_data(&mut bytes)?;
        Ok(bytes)
    }

    fn extension_text(&mut self, header: &Header<'_>) -> Result<Vec<u8>> {
        let mut bytes = self.extension_data(header)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(bytes)
    }

    fn read_data(&mut self, out: &mut [u8]) -> Result<()> {
        if self.remaining < out.len() as u64 || self.source.read_full(out)? < out.len() {
            return Err(truncated());
        }
        self.remaining -= out.len() as u64;
        Ok(())
    }

    fn count_entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::invalid(format!(
                "the archive has more than the {} entries allowed",
                self.limits.entries
            )));
        }
        Ok(())
    }

    fn entry(&mut self, header: &Header<'_>, pending: Pending) -> Result<Entry> {
        let Pending { mut pax, long_name, long_link } = pending;
        let path = pax.sparse.name.take().or(pax.path.take()).or(long_name).unwrap_or_else(|| header.path());
        let kind = self.kind(header, &path)?;
        let has_data = !matches!(header.kind(), b'1'..=b'6');
        let stored = if has_data { pax.size.map_or_else(|| self.stored_size(header), Ok)? } else { 0 };
        self.begin_data(stored)?;
        let (sparse, size) = self.sparse_map(header, &mut pax)?;
        let id =
            |value: Option<i64>, what| value.and_then(|v| u32::try_from(v).ok()).ok_or_else(|| self.bad_field(what));
        let signed = |value: Option<u64>| value.map(|v| i64::try_from(v).unwrap_or(i64::MAX));
        let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        Ok(Entry {
            kind,
            link: pax.link.take().or(long_link).unwrap_or_else(|| header.link().to_vec()),
            mode: (header.mode().ok_or_else(|| self.bad_field("a mode"))? & 0o7777) as u32,
            uid: id(signed(pax.uid).or_else(|| header.uid()), "an owner")?,
            gid: id(signed(pax.gid).or_else(|| header.gid()), "a group")?,
            mtime: match pax.mtime {
                Some(time) => time,
                None => (header.mtime().ok_or_else(|| self.bad_field("a time"))?, 0),
            },
            size,
            device: if is_device {
                (id(header.major(), "a device number")?, id(header.minor(), "a device number")?)
            } else {
                (0, 0)
            },
            xattrs: pax.xattrs,
            sparse,
            path,
        })
    }

    fn kind(&self, header: &Header<'_>, path: &[u8]) -> Result<EntryKind> {
        Ok(match header.kind() {
            // Before ustar, a folder was a file whose name ends in a slash.
            0 | b'0' | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            other => {
                let (name, kind) = (printable(path), printable(&[other]));
                return Err(Error::invalid(format!("{name}: the archive has an entry of the unknown type '{kind}'")));
            }
        })
    }

    /// The map of a sparse file, and the size of any file.
    fn sparse_map(&mut self, header: &Header<'_>, pax: &mut Pax) -> Result<(Option<Vec<Piece>>, u64)> {
        let map = if header.kind() == b'S' {
            pax.sparse.real_size = header.sparse_real_size().and_then(|size| u64::try_from(size).ok());
            self.gnu_map(header)?
        } else if pax.sparse.map_is_in_data() {
            self.map_in_data()?
        } else if pax.sparse.has_map() {
            std::mem::take(&mut pax.sparse.map)
        } else {
            return Ok((None, self.remaining));
        };
        let real_size = pax.sparse.real_size.ok_or_else(|| self.bad_field("a sparse file without a size"))?;
        if !sparse::is_valid(&map, self.remaining, real_size) || i64::try_from(real_size).is_err() {
            return Err(self.bad_field("the map of a sparse file"));
        }
        Ok((Some(map), real_size))
    }

    /// The old form: four pieces in the header, more in blocks before the data, which the size does not count.
    fn gnu_map(&mut self, header: &Header<'_>) -> Result<Vec<Piece>> {
        let mut map = Vec::new();
        sparse::read_gnu(header.sparse_map(), &mut map).ok_or_else(|| self.bad_field("the map of a sparse file"))?;
        let mut goes_on = header.sparse_continues();
        while goes_on {
            let mut block = [0; BLOCK];
            if self.source.read_full(&mut block)? < BLOCK {
                return Err(truncated());
            }
            sparse::read_gnu(&block[..504], &mut map).ok_or_else(|| self.bad_field("the map of a sparse file"))?;
            goes_on = block[504] != 0;
        }
        Ok(map)
    }

    /// PAX 1.0: lines with decimal numbers, how many pieces and then each, filled up to whole blocks.
    fn map_in_data(&mut self) -> Result<Vec<Piece>> {
        let mut lines = Lines { block: [0; BLOCK], at: BLOCK };
        let count = lines.number(self)?;
        if count > MAX_PIECES as u64 {
            return Err(self.bad_field("the map of a sparse file"));
        }
        (0..count).map(|_| Ok((lines.number(self)?, lines.number(self)?))).collect()
    }

    fn stored_size(&self, header: &Header<'_>) -> Result<u64> {
        header.size().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| self.bad_field("a size"))
    }

    fn begin_data(&mut self, size: u64) -> Result<()> {
        if size > self.limits.bytes {
            return Err(Error::invalid(format!("the archive is larger than the {} bytes allowed", self.limits.bytes)));
        }
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<()> {
        self.remaining += std::mem::take(&mut self.padding);
        while self.data()?.is_some() {}
        Ok(())
    }

    fn bad_field(&self, what: &str) -> Error {
        Error::corrupt(format!("the archive is damaged before byte {}: {what} cannot be read", self.source.offset()))
    }
}

/// Decimal lines in whole blocks of an entry's data.
struct Lines {
    block: [u8; BLOCK],
    at: usize,
}

impl Lines {
    fn number<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                reader.read_data(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' || digits.len() > 20 {
                return decimal(&digits).ok_or_else(|| reader.bad_field("the map of a sparse file"));
            }
            digits.push(byte);
        }
    }
}

fn not_a_tar() -> Error {
    Error::invalid("the stream is not a tar archive").with_hint("plain tar, gzip, zstd, xz and bzip2 are understood")
}

fn truncated() -> Error {
    Error::corrupt("the archive is cut off").with_hint("it may have been copied or downloaded incompletely")
}
