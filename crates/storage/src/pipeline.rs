//! A stream that is read, decompressed and hashed on another thread than the one that uses it.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use wharf_types::{Digest, Error, Hasher, Result};

/// The size of a piece in bytes.
const PIECE: usize = 256 * 1024;
/// So many pieces may wait to be used: 1 MiB in all.
const PIECES: usize = 4;

/// The using end.
pub(crate) struct Pipeline<'scope> {
    full: Option<Receiver<io::Result<Vec<u8>>>>,
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    producer: ScopedJoinHandle<'scope, Option<Digest>>,
}

impl<'scope> Pipeline<'scope> {
    /// Begins to read `stream`. When the pipeline is dropped, the other thread ends after its present read.
    pub(crate) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        stream: impl Read + Send + 'scope,
    ) -> io::Result<Self> {
        let (full_in, full) = sync_channel(PIECES);
        let (empty, empty_out) = channel();
        let produce = move || produce(stream, &full_in, &empty_out);
        let producer = thread::Builder::new().name("unpack".into()).spawn_scoped(scope, produce)?;
        Ok(Self { full: Some(full), empty, piece: Vec::new(), at: 0, producer })
    }

    /// The digest of the whole stream, which must have been read to its end.
    pub(crate) fn digest(mut self) -> Result<Digest> {
        self.full = None;
        let digest = self.producer.join().ok().flatten();
        digest.ok_or_else(|| Error::system("the stream was not read to its end"))
    }
}

impl Read for Pipeline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            let Some(next) = self.full.as_ref().and_then(|full| full.recv().ok()) else { return Ok(0) };
            let used = std::mem::replace(&mut self.piece, next?);
            self.at = 0;
            // The other thread may be done with reading; then the buffer is not needed any more.
            self.empty.send(used).ok();
        }
        let len = buffer.len().min(self.piece.len() - self.at);
        buffer[..len].copy_from_slice(&self.piece[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// `None` when the stream broke or nobody wanted the rest of it.
fn produce(mut stream: impl Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) -> Option<Digest> {
    let mut hasher = Hasher::new();
    loop {
        let mut piece = empty.try_recv().unwrap_or_default();
        match fill(&mut stream, &mut piece) {
            Ok(()) if piece.is_empty() => return Some(hasher.finish()),
            Ok(()) => {
                hasher.update(&piece);
                full.send(Ok(piece)).ok()?;
            }
            Err(error) => {
                full.send(Err(error)).ok();
                return None;
            }
        }
    }
}

/// Fills a piece as far as the stream goes.
fn fill(stream: &mut impl Read, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.resize(PIECE, 0);
    let mut len = 0;
    while len < PIECE {
        match stream.read(&mut piece[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_comes_through_with_its_digest() {
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|i| i as u8).collect();
        thread::scope(|scope| {
            let mut pipeline = Pipeline::start(scope, &bytes[..]).unwrap();
            let mut out = Vec::new();
            pipeline.read_to_end(&mut out).unwrap();
            assert!(out == bytes);
            assert_eq!(pipeline.digest().unwrap(), Digest::of(&bytes));
        });
    }

    #[test]
    fn errors_come_through_and_leaving_early_ends_the_other_thread() {
        let broken = Read::chain(&[1u8; 10][..], Broken);
        thread::scope(|scope| {
            let mut pipeline = Pipeline::start(scope, broken).unwrap();
            assert!(io::copy(&mut pipeline, &mut io::sink()).is_err());
            assert!(pipeline.digest().is_err());
            drop(Pipeline::start(scope, io::repeat(0)).unwrap());
            assert!(Pipeline::start(scope, io::repeat(0)).unwrap().digest().is_err());
        });
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
}
