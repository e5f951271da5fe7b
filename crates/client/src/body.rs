//! Bodies of requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// A large body that is produced while it is sent: an archive, an image.
///
/// An error ends the request; the engine sees an incomplete body.
pub struct Upload(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>);

impl Upload {
    /// From pieces.
    pub fn new(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }

    /// From whatever can be read, a file for instance, in pieces of 64 KiB.
    pub fn from_reader(reader: impl tokio::io::AsyncRead + Send + Unpin + 'static) -> Self {
        Self::new(futures_util::stream::try_unfold(reader, read_piece))
    }
}

const PIECE: usize = 64 * 1024;

async fn read_piece<R: tokio::io::AsyncRead + Unpin>(mut reader: R) -> io::Result<Option<(Bytes, R)>> {
    let mut buffer = bytes::BytesMut::with_capacity(PIECE);
    let count = tokio::io::AsyncReadExt::read_buf(&mut reader, &mut buffer).await?;
    Ok((count > 0).then(|| (buffer.freeze(), reader)))
}

/// The body of a request: known bytes, which can be sent again, or an upload, which cannot.
pub(crate) enum RequestBody {
    Known(Full<Bytes>),
    Upload(Upload),
}

impl RequestBody {
    pub(crate) fn known(bytes: Bytes) -> Self {
        Self::Known(Full::new(bytes))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Known(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Self::Upload(upload) => upload.0.as_mut().poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Known(full) => full.is_end_stream(),
            Self::Upload(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Known(full) => full.size_hint(),
            Self::Upload(_) => SizeHint::default(),
        }
    }
}
