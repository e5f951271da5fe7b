//! Answers that arrive bit by bit.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Buf, Bytes, BytesMut};
use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use wharf_api::image::Progress;
use wharf_api::system::content_type::MULTIPLEXED_STREAM;
use wharf_types::{Error, Kind, Result};

use crate::demultiplexer::{Chunk, Demultiplexer, Source};

/// Bytes of an answer: an archive, an image. Dropping it ends the request.
pub struct ByteStream(Incoming);

impl ByteStream {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        Self(response.into_body())
    }

    /// The next bytes, `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            match self.0.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Some(Ok(bytes)),
                    Err(_trailers) => {}
                },
                Err(error) => {
                    let broken = Error::new(Kind::Unavailable, "the engine's answer broke off").caused_by(error);
                    return Some(Err(broken));
                }
            }
        }
    }

    /// All bytes to `writer`.
    pub async fn copy_to(&mut self, writer: &mut (impl tokio::io::AsyncWrite + Unpin)) -> Result<u64> {
        let mut count = 0;
        while let Some(bytes) = self.next().await {
            let bytes = bytes?;
            tokio::io::AsyncWriteExt::write_all(writer, &bytes).await?;
            count += bytes.len() as u64;
        }
        tokio::io::AsyncWriteExt::flush(writer).await?;
        Ok(count)
    }
}

/// JSON documents one after the other: events, progress, statistics. Dropping it ends the request.
pub struct JsonLines<T> {
    bytes: ByteStream,
    buffer: BytesMut,
    ready: VecDeque<T>,
    _item: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        let bytes = ByteStream::new(response);
        Self { bytes, buffer: BytesMut::new(), ready: VecDeque::new(), _item: PhantomData }
    }

    /// The next document, `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Some(Err(error)),
                None if self.buffer.trim_ascii().is_empty() => return None,
                None => {
                    self.buffer.clear();
                    return Some(Err(Error::new(Kind::Unavailable, "the engine's answer broke off within a line")));
                }
            }
            if let Err(error) = self.parse() {
                return Some(Err(error));
            }
        }
    }

    /// Moves whole documents out of the buffer. They need not be on lines of their own.
    fn parse(&mut self) -> Result<()> {
        let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<serde_json::Value>();
        let mut consumed = 0;
        while let Some(document) = documents.next() {
            match document {
                Ok(document) => self.ready.push_back(wharf_api::decode_value(&document).map_err(not_understood)?),
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(not_understood(error)),
            }
            consumed = documents.byte_offset();
        }
        self.buffer.advance(consumed);
        Ok(())
    }
}

impl JsonLines<Progress> {
    /// The next line of progress; one that carries an error becomes that error.
    pub async fn next_progress(&mut self) -> Option<Result<Progress>> {
        let line = match self.next().await? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if line.error.is_none() && line.error_detail.is_none() {
            return Some(Ok(line));
        }
        line.into_error().map(Err)
    }
}

fn not_understood(error: serde_json::Error) -> Error {
    Error::system("the engine's answer could not be understood").caused_by(error)
}

/// Output of a container as an answer's body: its logs. Dropping it ends the request.
pub struct OutputStream {
    bytes: ByteStream,
    /// `None` for the output of a terminal, which comes as it is.
    frames: Option<Demultiplexer>,
}

impl OutputStream {
    /// `tty` decides only where the engine does not say whether the stream is multiplexed (API before 1.42).
    pub(crate) fn new(response: Response<Incoming>, tty: bool) -> Self {
        let multiplexed = is_multiplexed(response.headers()).unwrap_or(!tty);
        Self { bytes: ByteStream::new(response), frames: multiplexed.then(Demultiplexer::default) }
    }

    /// The next piece of output, `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Chunk>> {
        loop {
            if let Some(chunk) = self.frames.as_mut().and_then(|frames| frames.next_chunk().transpose()) {
                return Some(chunk);
            }
            match (self.bytes.next().await, &mut self.frames) {
                (Some(Ok(bytes)), Some(frames)) => frames.feed(&bytes),
                (Some(Ok(bytes)), None) => return Some(Ok(Chunk { source: Source::Stdout, bytes })),
                (Some(Err(error)), _) => return Some(Err(error)),
                (None, Some(frames)) => return frames.finish().err().map(Err),
                (None, None) => return None,
            }
        }
    }
}

/// Whether an answer is multiplexed, as far as its content type says so.
pub(crate) fn is_multiplexed(headers: &http::HeaderMap) -> Option<bool> {
    let content_type = headers.get(header::CONTENT_TYPE)?.as_bytes();
    (content_type == MULTIPLEXED_STREAM.as_bytes()).then_some(true)
}
