//! Bodies of answers, with bounded memory whatever their size.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hyper::body::{Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use super::log::Visit;
use crate::server::store::Content;

/// How much of a file is read at once: small enough to stay in the processor's cache until it is sent.
const PIECE: usize = 256 << 10;
/// How many buffers are kept for the next reader.
const POOL: usize = 16;

/// The body of an answer.
pub struct Body {
    kind: Kind,
    /// Goes with the body, whether it was sent whole or not.
    visit: Option<Visit>,
}

enum Kind {
    Whole(Option<Bytes>),
    File(FileBody),
    Stream { stream: BoxStream<'static, wharf_types::Result<Bytes>>, left: u64 },
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Self::of(Bytes::new())
    }

    /// Bytes that are there.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { kind: Kind::Whole((!bytes.is_empty()).then_some(bytes)), visit: None }
    }

    /// A part of a blob, of this length.
    pub fn content(content: Content, length: u64, pool: &Arc<Pool>) -> Self {
        let kind = match content {
            Content::File { file, range } => {
                Kind::File(FileBody { file: Arc::new(file), range, pool: Arc::clone(pool), reading: None })
            }
            Content::Stream(stream) => Kind::Stream { stream, left: length },
        };
        Self { kind, visit: None }
    }

    /// Notes what becomes of the answer.
    pub fn watched_by(mut self, visit: Visit) -> Self {
        self.visit = Some(visit);
        self
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.kind {
            Kind::Whole(bytes) => bytes.take().map(Ok),
            Kind::File(file) => ready!(file.poll_next(context)),
            Kind::Stream { stream, left } => match ready!(stream.poll_next_unpin(context)) {
                Some(Ok(bytes)) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Some(Ok(bytes))
                }
                Some(Err(error)) => Some(Err(io::Error::other(error.chain()))),
                None if *left > 0 => Some(Err(io::Error::other("the content ended early"))),
                None => None,
            },
        };
        if let Some(Ok(bytes)) = &next
            && let Some(visit) = &mut self.visit
        {
            visit.sent(bytes.len() as u64);
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::File(file) => file.range.is_empty(),
            Kind::Stream { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.kind {
            Kind::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Kind::File(file) => file.range.end - file.range.start,
            Kind::Stream { left, .. } => *left,
        })
    }
}

/// A file that is read piece by piece. What is in the page cache is read at once; what is not, aside.
struct FileBody {
    file: Arc<File>,
    range: Range<u64>,
    pool: Arc<Pool>,
    reading: Option<JoinHandle<io::Result<Buffer>>>,
}

impl FileBody {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        let result = match &mut self.reading {
            Some(reading) => {
                let result = ready!(Pin::new(reading).poll(context));
                self.reading = None;
                result.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            None => match self.read_from_cache() {
                Some(result) => result,
                None => {
                    self.reading = Some(self.read_aside());
                    return self.poll_next(context);
                }
            },
        };
        Poll::Ready(Some(result.map(|buffer| {
            self.range.start += buffer.length as u64;
            Bytes::from_owner(buffer)
        })))
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.range.end - self.range.start).unwrap_or(PIECE).min(PIECE)
    }

    /// What the kernel has in memory (RWF_NOWAIT, preadv2(2)); `None` if that is nothing, or cannot be known.
    fn read_from_cache(&self) -> Option<io::Result<Buffer>> {
        let mut buffer = self.pool.take();
        let wanted = self.wanted();
        let mut slices = [IoSliceMut::new(&mut buffer.bytes[..wanted])];
        match rustix::io::preadv2(&*self.file, &mut slices, self.range.start, ReadWriteFlags::NOWAIT) {
            Ok(0) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => {
                buffer.length = length;
                Some(Ok(buffer))
            }
            Err(_) => None,
        }
    }

    fn read_aside(&self) -> JoinHandle<io::Result<Buffer>> {
        let (file, start, wanted) = (Arc::clone(&self.file), self.range.start, self.wanted());
        let mut buffer = self.pool.take();
        tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut buffer.bytes[..wanted], start)?;
            buffer.length = wanted;
            Ok(buffer)
        })
    }
}

/// Buffers that are used again.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    fn take(self: &Arc<Self>) -> Buffer {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: bytes.unwrap_or_else(|| vec![0; PIECE]), length: 0, pool: Arc::clone(self) }
    }
}

struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}
