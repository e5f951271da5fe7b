//! Between threads that read and write archives and tasks that send and receive them.

use crate::target::ByteStream;
use bytes::Bytes;
use futures_util::StreamExt;
use std::io::{Error, ErrorKind, Read, Result, Write};
use tokio::sync::mpsc::{Receiver, Sender, channel};

const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// A pipe from a thread to a task. Dropping the writer without [`PipeWriter::finish`] ends the stream with an error,
/// so that nobody takes a cut-off archive for a whole one.
pub fn to_task() -> (PipeWriter, ByteStream) {
    let (sender, receiver) = channel(PIECES);
    let stream = futures_util::stream::unfold(receiver, |mut receiver: Receiver<Result<Bytes>>| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (PipeWriter { sender: Some(sender), buffer: Vec::with_capacity(PIECE) }, Box::pin(stream))
}

/// The thread's end of [`to_task`].
pub struct PipeWriter {
    sender: Option<Sender<Result<Bytes>>>,
    buffer: Vec<u8>,
}

impl PipeWriter {
    /// Ends the stream well.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.sender = None;
        Ok(())
    }

    fn send(&self, piece: Result<Bytes>) -> Result<()> {
        let gone = || Error::new(ErrorKind::BrokenPipe, "the engine stopped reading");
        self.sender.as_ref().ok_or_else(gone)?.blocking_send(piece).map_err(|_| gone())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = PIECE - self.buffer.len();
        let length = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..length]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.send(Ok(full.into()))
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        if self.sender.is_some() {
            // When the reader is gone too there is nobody left to tell.
            let _ = self.send(Err(Error::new(ErrorKind::UnexpectedEof, "the archive was not completed")));
        }
    }
}

/// A pipe from a task to a thread: the returned task moves the stream's pieces to the reader.
pub fn to_thread(mut stream: ByteStream) -> (PipeReader, impl Future<Output = ()> + Send) {
    let (sender, receiver) = channel(PIECES);
    let pump = async move {
        while let Some(piece) = stream.next().await {
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    };
    (PipeReader { receiver, piece: Bytes::new() }, pump)
}

/// The thread's end of [`to_thread`].
pub struct PipeReader {
    receiver: Receiver<Result<Bytes>>,
    piece: Bytes,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn carries_bytes_both_ways() {
        let (mut writer, stream) = to_task();
        let sent: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        let expected = sent.clone();
        let writing = tokio::task::spawn_blocking(move || {
            writer.write_all(&sent).unwrap();
            writer.finish().unwrap();
        });
        let (mut reader, pump) = to_thread(stream);
        let reading = tokio::task::spawn_blocking(move || {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).unwrap();
            got
        });
        pump.await;
        writing.await.unwrap();
        assert!(reading.await.unwrap() == expected);
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_is_noticed() {
        let (writer, mut stream) = to_task();
        tokio::task::spawn_blocking(move || drop(writer)).await.unwrap();
        assert!(stream.next().await.unwrap().is_err());
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_gives_up_is_noticed() {
        let (mut writer, stream) = to_task();
        drop(stream);
        let result = tokio::task::spawn_blocking(move || writer.write_all(&[0; 2 * PIECE])).await.unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
