//! Answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use wharf_api::ErrorResponse;
use wharf_types::{Error, Kind, Result};

/// An answer.
pub(crate) type Answer = Response<AnswerBody>;

/// The body of an answer: all of it, or what comes bit by bit.
///
/// A stream is dropped when the client goes away, and with it whatever it follows.
pub(crate) enum AnswerBody {
    Full(Full<Bytes>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Full(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream(stream) => stream.as_mut().poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A status without content.
pub(crate) fn empty(status: StatusCode) -> Answer {
    with_body(status, AnswerBody::Full(Full::default()))
}

/// `204 No Content`.
pub(crate) fn no_content() -> Answer {
    empty(StatusCode::NO_CONTENT)
}

/// `200 OK` with a JSON document.
pub(crate) fn ok(document: &impl Serialize) -> Result<Answer> {
    json(StatusCode::OK, document)
}

/// `201 Created` with a JSON document.
pub(crate) fn created(document: &impl Serialize) -> Result<Answer> {
    json(StatusCode::CREATED, document)
}

fn json(status: StatusCode, document: &impl Serialize) -> Result<Answer> {
    let mut bytes = serde_json::to_vec(document)
        .map_err(|error| Error::system("the answer cannot be written as JSON").caused_by(error))?;
    bytes.push(b'\n');
    let body = AnswerBody::Full(Full::new(bytes.into()));
    Ok(with_type(with_body(status, body), "application/json"))
}

/// `200 OK` with a body that comes bit by bit; the headers go out at once.
pub(crate) fn stream(
    content_type: &'static str,
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Answer {
    with_type(with_body(StatusCode::OK, AnswerBody::Stream(Box::pin(pieces))), content_type)
}

/// `200 OK` with a JSON document per line, as they come.
pub(crate) fn json_lines<T: Serialize>(documents: impl Stream<Item = T> + Send + 'static) -> Answer {
    stream("application/json", documents.map(|document| json_line(&document)))
}

/// One document and the end of its line.
pub(crate) fn json_line(document: &impl Serialize) -> io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes.into())
}

/// The answer that an error becomes.
pub(crate) fn error(error: &Error) -> Answer {
    let status = StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if error.kind() == Kind::NotModified {
        return empty(status);
    }
    json(status, &ErrorResponse::from(error)).unwrap_or_else(|_| empty(status))
}

pub(crate) fn with_body(status: StatusCode, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

pub(crate) fn with_type(mut answer: Answer, content_type: &'static str) -> Answer {
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
