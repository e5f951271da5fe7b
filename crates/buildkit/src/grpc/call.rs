//! The side that calls.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioExecutor;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::body::frame;
use super::{Code, Frames, Outgoing, Pieces, Status};

/// How many messages may wait for a slow peer.
const QUEUE: usize = 32;

/// A connection on which calls are made; clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    requests: SendRequest<Outgoing>,
}

/// The sending half of a call; dropping it ends that direction.
pub(crate) struct Sent(mpsc::Sender<Pieces>);

impl Sent {
    pub(crate) async fn send(&self, message: &impl Message) -> Result<(), Status> {
        self.raw(frame(message)).await
    }

    async fn raw(&self, bytes: Bytes) -> Result<(), Status> {
        let sent = self.0.send(Pieces::Message(bytes)).await;
        sent.map_err(|_| Status::new(Code::Unavailable, "the client ended the call"))
    }
}

/// The receiving half. Dropping it ends the call.
pub(crate) struct Received(State);

enum State {
    Opening(Aborted<Result<Response<Incoming>, hyper::Error>>),
    Open(Box<Frames>, HeaderMap),
    Ended,
}

/// A task that ends with its handle.
struct Aborted<T>(JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Received {
    /// The next message; `None` at a good end.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            match &mut self.0 {
                State::Ended => return Ok(None),
                State::Opening(task) => {
                    let gone = |error: String| Status::new(Code::Unavailable, format!("the client went away: {error}"));
                    let answer = (&mut task.0).await.map_err(|error| gone(error.to_string()))?;
                    let (parts, body) = answer.map_err(|error| gone(error.to_string()))?.into_parts();
                    self.0 = State::Open(Box::new(Frames::new(body)), parts.headers);
                }
                State::Open(frames, headers) => {
                    if let Some(message) = frames.next().await? {
                        return Ok(Some(message));
                    }
                    let status = frames.trailers().and_then(Status::read).or_else(|| Status::read(headers));
                    self.0 = State::Ended;
                    return match status {
                        Some(status) if status.is_ok() => Ok(None),
                        Some(status) => Err(status),
                        None => Err(Status::new(Code::Unavailable, "the client broke off")),
                    };
                }
            }
        }
    }
}

impl Channel {
    /// Begins; the task lives as long as the connection.
    pub(crate) async fn connect(
        io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    ) -> Result<(Self, JoinHandle<()>), hyper::Error> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20);
        let (requests, connection) = builder.handshake(io).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session ended early");
            }
        });
        Ok((Self { requests }, driver))
    }

    /// Opens a call whose messages go both ways.
    pub(crate) fn open(&self, path: &str, metadata: &[(&str, &str)]) -> Result<(Sent, Received), Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut request = Request::new(Outgoing::call(receiver));
        *request.method_mut() = http::Method::POST;
        let uri = format!("http://localhost{path}").parse();
        *request.uri_mut() = uri.map_err(|_| Status::new(Code::InvalidArgument, format!("bad path {path}")))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        for (name, value) in metadata {
            let bad = || Status::new(Code::InvalidArgument, format!("{name} cannot be sent: {value:?}"));
            let name = HeaderName::try_from(*name).map_err(|_| bad())?;
            headers.append(name, HeaderValue::try_from(*value).map_err(|_| bad())?);
        }
        let mut requests = self.requests.clone();
        let task = tokio::spawn(async move {
            requests.ready().await?;
            requests.send_request(request).await
        });
        Ok((Sent(sender), Received(State::Opening(Aborted(task)))))
    }

    /// One message there and one back.
    pub(crate) async fn unary<Q: Message, A: Message + Default>(&self, path: &str, question: &Q) -> Result<A, Status> {
        let (sent, mut received) = self.open(path, &[])?;
        sent.send(question).await?;
        drop(sent);
        let answer = received.next().await?;
        let none = || Status::new(Code::Internal, format!("{path} has no answer"));
        let answer = answer.ok_or_else(none)?;
        received.next::<A>().await?;
        Ok(answer)
    }
}
