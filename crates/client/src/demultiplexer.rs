//! Output of a process without a terminal: frames of an 8-byte header (stream, 0, 0, 0, big-endian length) and payload.

use bytes::{Buf, Bytes, BytesMut};
use wharf_types::{Error, Result};

/// Where a piece of output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard input, echoed; not sent by any engine today.
    Stdin,
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// An error of the engine's in the middle of a stream.
    System,
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where it comes from.
    pub source: Source,
    /// The bytes; a chunk is not a line.
    pub bytes: Bytes,
}

const HEADER: usize = 8;

/// Takes frames apart, without input and output of its own.
///
/// Payload is passed on as it arrives: a frame that comes in pieces becomes several chunks, and memory stays bounded
/// however long a frame says it is.
#[derive(Debug, Default)]
pub struct Demultiplexer {
    buffer: BytesMut,
    /// The frame whose payload is being read, and how much of it is still to come.
    frame: Option<(Source, usize)>,
}

impl Demultiplexer {
    /// Takes bytes as they come from the connection.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next chunk, `None` when more bytes are needed. Fails on what is no frame.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            let (source, left) = match self.frame {
                Some(frame) => frame,
                None if self.buffer.len() < HEADER => return Ok(None),
                None => self.read_header()?,
            };
            self.frame = (left > 0).then_some((source, left));
            if left == 0 {
                continue;
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let bytes = self.buffer.split_to(left.min(self.buffer.len())).freeze();
            self.frame = Some((source, left - bytes.len())).filter(|(_, left)| *left > 0);
            return Ok(Some(Chunk { source, bytes }));
        }
    }

    /// Fails if the stream ended within a frame.
    pub fn finish(&self) -> Result<()> {
        if self.frame.is_none() && self.buffer.is_empty() {
            return Ok(());
        }
        Err(Error::corrupt("the output ended in the middle of a frame"))
    }

    fn read_header(&mut self) -> Result<(Source, usize)> {
        let source = match self.buffer.get_u8() {
            0 => Source::Stdin,
            1 => Source::Stdout,
            2 => Source::Stderr,
            3 => Source::System,
            other => return Err(Error::corrupt(format!("the output is not multiplexed: stream {other} in a header"))),
        };
        self.buffer.advance(3);
        Ok((source, self.buffer.get_u32() as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload].concat()
    }

    fn drain(demultiplexer: &mut Demultiplexer, out: &mut Vec<u8>, err: &mut Vec<u8>) {
        while let Some(chunk) = demultiplexer.next_chunk().unwrap() {
            if chunk.source == Source::Stdout { out.extend(chunk.bytes) } else { err.extend(chunk.bytes) }
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut demultiplexer = Demultiplexer::default();
        demultiplexer.feed(b"hello, world");
        assert!(demultiplexer.next_chunk().is_err());
    }

    #[test]
    fn an_end_within_a_frame_is_noticed() {
        let mut demultiplexer = Demultiplexer::default();
        demultiplexer.feed(&frame(1, b"abc")[..9]);
        assert_eq!(demultiplexer.next_chunk().unwrap().unwrap().bytes, "a");
        assert!(demultiplexer.finish().is_err());
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_output(
            frames in proptest::collection::vec((1u8..=2, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
            size in 1usize..20,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(|(stream, payload)| frame(*stream, payload)).collect();
            let (mut out, mut err, mut demultiplexer) = (Vec::new(), Vec::new(), Demultiplexer::default());
            for piece in wire.chunks(size) {
                demultiplexer.feed(piece);
                drain(&mut demultiplexer, &mut out, &mut err);
            }
            let of = |wanted: u8| frames.iter().filter(|f| f.0 == wanted).flat_map(|f| f.1.clone()).collect::<Vec<_>>();
            prop_assert_eq!(out, of(1));
            prop_assert_eq!(err, of(2));
            prop_assert!(demultiplexer.finish().is_ok());
        }
    }
}
