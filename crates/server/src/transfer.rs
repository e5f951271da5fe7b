//! Large bodies: what the engine writes where blocking is allowed, sent as it comes.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wharf_types::{Error, Result};

use crate::response::{self, Answer};

/// Pieces are sent when they have this size.
const PIECE: usize = 128 * 1024;
/// How many pieces may wait for a slow client.
const QUEUE: usize = 4;

/// Sends what `produce` writes. An error before the first piece is the answer; a later one breaks the answer off, so
/// that no client takes a part for the whole.
pub(crate) async fn download<F, W>(content_type: &'static str, produce: F) -> Result<Answer>
where
    F: FnOnce(PieceWriter) -> W,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let work = tokio::spawn(produce(PieceWriter { sender, piece: BytesMut::new() }));
    let first = receiver.recv().await;
    if first.is_none() {
        finished(work).await?;
        return Ok(response::stream(content_type, stream::empty()));
    }
    let state = (first, receiver, Some(work));
    let pieces = stream::unfold(state, |(mut first, mut receiver, mut work)| async move {
        let next = match first.take() {
            Some(piece) => Some(piece),
            None => receiver.recv().await,
        };
        match next {
            Some(piece) => Some((Ok(piece), (None, receiver, work))),
            None => match finished(work.take()?).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(error = error.chain(), "a transfer broke off");
                    Some((Err(io::Error::other(error)), (None, receiver, None)))
                }
            },
        }
    });
    Ok(response::stream(content_type, pieces))
}

async fn finished(work: JoinHandle<Result<()>>) -> Result<()> {
    work.await.unwrap_or_else(|error| Err(Error::system("the engine failed while it wrote").caused_by(error)))
}

/// Collects what is written into pieces. Blocks while a slow client has enough waiting, and fails when it is gone.
pub(crate) struct PieceWriter {
    sender: mpsc::Sender<Bytes>,
    piece: BytesMut,
}

impl PieceWriter {
    fn send(&mut self) -> io::Result<()> {
        let piece = self.piece.split().freeze();
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(piece).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for PieceWriter {
    /// Writers rarely flush; what is left belongs to the content all the same. A client that is gone misses nothing.
    fn drop(&mut self) {
        if !self.piece.is_empty() {
            drop(self.send());
        }
    }
}
