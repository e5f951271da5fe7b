//! The bytes of a tar stream: read once in large pieces, counted and limited.

use std::io::{self, Read};

use wharf_types::{Error, Kind, Result};

/// How much is asked for at once, in bytes.
const BUFFER: usize = 256 * 1024;

/// A stream with a buffer of fixed size.
pub(crate) struct Source<R> {
    stream: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes taken out of the buffer so far.
    offset: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(stream: R, limit: u64) -> Self {
        Self { stream, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0, limit }
    }

    /// The next bytes, at most `max`, which count as read; empty at the end of the stream.
    pub(crate) fn take(&mut self, max: u64) -> Result<&[u8]> {
        if self.start == self.end {
            self.fill()?;
        }
        let available = self.end - self.start;
        let len = usize::try_from(max).map_or(available, |max| max.min(available));
        self.start += len;
        self.offset += len as u64;
        Ok(&self.buffer[self.start - len..self.start])
    }

    /// Fills `out`, or as much of it as the stream has left.
    pub(crate) fn read_full(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let piece = self.take((out.len() - filled) as u64)?;
            if piece.is_empty() {
                break;
            }
            out[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(filled)
    }

    /// Reads on to the end of the stream.
    pub(crate) fn drain(&mut self) -> Result<()> {
        while !self.take(u64::MAX)?.is_empty() {}
        Ok(())
    }

    /// The stream, without what is left in the buffer.
    pub(crate) fn into_inner(self) -> R {
        self.stream
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    fn fill(&mut self) -> Result<()> {
        self.start = 0;
        self.end = loop {
            match self.stream.read(&mut self.buffer) {
                Ok(len) => break len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        };
        if self.offset + self.end as u64 > self.limit {
            return Err(Error::invalid(format!("the archive is larger than the {} bytes allowed", self.limit)));
        }
        Ok(())
    }
}

/// What the system did not refuse, a decompressor did: then the stream itself is broken.
pub(crate) fn read_error(error: io::Error) -> Error {
    let kind =
        if error.raw_os_error().is_some() { Error::from(io::Error::from(error.kind())).kind() } else { Kind::Corrupt };
    let message = match kind {
        Kind::Corrupt => "the archive is damaged or cut off",
        _ => "cannot read the archive",
    };
    Error::new(kind, message).caused_by(error)
}
