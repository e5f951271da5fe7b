//! Connections that have become the streams of a process: attach and exec.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use wharf_types::{Error, Result, ResultExt};

use crate::demultiplexer::{Chunk, Demultiplexer, Source};
use crate::stream::is_multiplexed;
use crate::wire::{Stream, Wire};

/// A connection that has become the streams of a process.
#[derive(Debug)]
pub struct Hijacked {
    stream: Stream,
    /// What came behind the answer's headers already.
    early: Bytes,
    /// What the content type says.
    multiplexed: Option<bool>,
}

impl Hijacked {
    pub(crate) async fn new(response: Response<Incoming>) -> Result<Self> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::system(format!(
                "the engine answered {} where it should have upgraded",
                response.status()
            )));
        }
        let multiplexed = is_multiplexed(response.headers());
        let broke = |error| Error::system("the engine broke the connection off").caused_by(error);
        let upgraded = hyper::upgrade::on(response).await.map_err(broke)?;
        let parts = upgraded
            .downcast::<TokioIo<Wire>>()
            .map_err(|_| Error::system("the connection is of a kind that this client did not make"))?;
        Ok(Self { stream: parts.io.into_inner().into_plain()?, early: parts.read_buf, multiplexed })
    }

    /// The two directions. `tty` decides how output is read only where the engine does not say (API before 1.42).
    pub fn into_split(self, tty: bool) -> (Output, Input) {
        let (reader, writer) = tokio::io::split(self.stream);
        let mut frames = self.multiplexed.unwrap_or(!tty).then(Demultiplexer::default);
        let early = match &mut frames {
            Some(frames) => {
                frames.feed(&self.early);
                Bytes::new()
            }
            None => self.early,
        };
        (Output { reader, buffer: BytesMut::new(), frames, early }, Input(writer))
    }

    /// The bare connection, what was read from it already, and whether output is multiplexed as far as the engine says.
    pub fn into_parts(self) -> (Stream, Bytes, Option<bool>) {
        (self.stream, self.early, self.multiplexed)
    }
}

/// What a process writes.
#[derive(Debug)]
pub struct Output {
    reader: ReadHalf<Stream>,
    buffer: BytesMut,
    frames: Option<Demultiplexer>,
    early: Bytes,
}

/// How much is read at once.
const READ: usize = 32 * 1024;

impl Output {
    /// The next piece, `None` at the end. Output of a terminal is all [`Source::Stdout`].
    pub async fn next(&mut self) -> Option<Result<Chunk>> {
        loop {
            if let Some(chunk) = self.buffered().transpose() {
                return Some(chunk);
            }
            self.buffer.reserve(READ);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) => return self.frames.as_ref().and_then(|frames| frames.finish().err()).map(Err),
                Ok(_) => self.early = self.buffer.split().freeze(),
                Err(error) => return Some(Err(error).context("the connection to the engine broke")),
            }
            if let Some(frames) = &mut self.frames {
                frames.feed(&std::mem::take(&mut self.early));
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<Chunk>> {
        match &mut self.frames {
            Some(frames) => frames.next_chunk(),
            None if self.early.is_empty() => Ok(None),
            None => Ok(Some(Chunk { source: Source::Stdout, bytes: std::mem::take(&mut self.early) })),
        }
    }
}

/// What a process reads.
#[derive(Debug)]
pub struct Input(WriteHalf<Stream>);

impl Input {
    /// Closes standard input; output goes on.
    pub async fn close(&mut self) -> Result<()> {
        self.0.shutdown().await.context("cannot close standard input")
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
