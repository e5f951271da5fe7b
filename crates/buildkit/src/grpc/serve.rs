//! The side that answers.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use tokio::sync::mpsc;

use super::body::frame;
use super::{Code, Frames, Outgoing, Pieces, Status};

/// How many messages may wait for a slow client.
const QUEUE: usize = 64;

/// Where an answer's messages go.
#[derive(Clone)]
pub(crate) struct Reply(mpsc::Sender<Pieces>);

impl Reply {
    /// Sends one; fails when nobody listens any more.
    pub(crate) async fn send(&self, message: &impl Message) -> Result<(), Status> {
        let sent = self.0.send(Pieces::Message(frame(message))).await;
        sent.map_err(|_| Status::new(Code::Canceled, "the client went away"))
    }

    /// Ready when nobody listens any more.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }
}

/// What answers calls.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call. Dropped when the client goes away.
    fn call(
        self: Arc<Self>,
        path: String,
        headers: HeaderMap,
        request: Frames,
        reply: Reply,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

/// Answers calls on a connection until it ends.
pub(crate) async fn serve<S: Service>(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    service: Arc<S>,
) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(answer(service, request)) }
    });
    if let Err(error) = http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer).await {
        tracing::debug!(%error, "a gRPC connection ended early");
    }
}

/// Begins to answer: what is done goes on as long as the client listens.
fn answer<S: Service>(service: Arc<S>, request: Request<Incoming>) -> Response<Outgoing> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let reply = Reply(sender.clone());
        let gone = sender.clone();
        let work = service.call(path.clone(), parts.headers, Frames::new(body), reply);
        let ended = tokio::select! {
            ended = work => ended,
            () = gone.closed() => return,
        };
        let status = ended.err().unwrap_or_else(Status::ok);
        tracing::debug!(path, code = status.code, message = status.message, "answered");
        // Nobody to tell is fine.
        drop(sender.send(Pieces::End(status)).await);
    });
    let mut answer = Response::new(Outgoing::answer(receiver));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    answer
}
