//! Bodies: messages in frames.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use prost::Message;
use tokio::sync::mpsc;

use super::{Code, Status};

/// The largest message in bytes, as BuildKit has it.
const MOST: usize = 16 << 20;

/// What goes out, bit by bit.
pub(crate) enum Pieces {
    /// A message in its frame.
    Message(Bytes),
    /// The end, for those who answer.
    End(Status),
}

/// A body that somebody else fills. For a call it ends with its sender, for an answer with a status.
pub(crate) struct Outgoing {
    receiver: mpsc::Receiver<Pieces>,
    answers: bool,
    ended: bool,
}

impl Outgoing {
    /// Of a call.
    pub(crate) fn call(receiver: mpsc::Receiver<Pieces>) -> Self {
        Self { receiver, answers: false, ended: false }
    }

    /// Of an answer.
    pub(crate) fn answer(receiver: mpsc::Receiver<Pieces>) -> Self {
        Self { receiver, answers: true, ended: false }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match this.receiver.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Pieces::Message(bytes))) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(Some(Pieces::End(status))) => {
                this.ended = true;
                Poll::Ready(Some(Ok(Frame::trailers(status.trailers()))))
            }
            Poll::Ready(None) => {
                this.ended = true;
                let broken = || Status::new(Code::Internal, "the engine gave no answer").trailers();
                Poll::Ready(this.answers.then(|| Ok(Frame::trailers(broken()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// A message in its frame.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A growing buffer takes everything.
    let _infallible = message.encode(&mut bytes);
    bytes.freeze()
}

/// Messages as they come.
pub(crate) struct Frames {
    body: Incoming,
    buffer: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Frames {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, buffer: BytesMut::new(), trailers: None }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(bytes) = take(&mut self.buffer)? {
                let read = M::decode(bytes);
                return read
                    .map(Some)
                    .map_err(|error| Status::new(Code::InvalidArgument, format!("a message: {error}")));
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::new(Code::Unavailable, "the other side ended within a message")),
                Some(Err(error)) => return Err(Status::new(Code::Unavailable, format!("the other side: {error}"))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// The trailers, once everything was read.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

/// Takes one whole message off the front.
fn take(buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some(head) = buffer.get(..5) else { return Ok(None) };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 {
        return Err(Status::new(Code::Unimplemented, "compressed messages are not read here"));
    }
    if length > MOST {
        return Err(Status::new(Code::InvalidArgument, format!("a message of {length} bytes is too large")));
    }
    if buffer.len() < 5 + length {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::BytesMessage;

    #[test]
    fn messages_are_taken_off_whole() {
        let one = frame(&BytesMessage { data: b"abc".to_vec() });
        let mut buffer = BytesMut::from(&one[..4]);
        assert!(take(&mut buffer).unwrap().is_none());
        buffer.extend_from_slice(&one[4..]);
        buffer.extend_from_slice(&one[..6]);
        assert_eq!(BytesMessage::decode(take(&mut buffer).unwrap().unwrap()).unwrap().data, b"abc");
        assert!(take(&mut buffer).unwrap().is_none());
        assert_eq!(buffer.len(), 6);
    }

    #[test]
    fn what_is_compressed_or_too_large_is_refused() {
        assert!(take(&mut BytesMut::from(&[1u8, 0, 0, 0, 0][..])).is_err());
        assert!(take(&mut BytesMut::from(&[0u8, 255, 0, 0, 0][..])).is_err());
    }
}
