//! Connections that become the streams of a process.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio_util::io::ReaderStream;
use wharf_api::ApiVersion;
use wharf_api::system::content_type::{MULTIPLEXED_STREAM, RAW_STREAM};
use wharf_engine::container::Connection;
use wharf_types::{Error, Result, ResultExt};

use crate::response::{self, Answer};
use crate::stream::Stream;

/// How often to look, before waiting in earnest, whether a client has read an answer's head.
const YIELDS: u32 = 20;
/// How long a client may take to read it.
const HEAD_TIMEOUT: Duration = Duration::from_millis(200);

/// The content type of a process's output: Docker tells the two apart since API 1.42 only.
pub(crate) fn content_type(version: ApiVersion, tty: bool) -> &'static str {
    if tty || version.before(42) { RAW_STREAM } else { MULTIPLEXED_STREAM }
}

/// Answers `101`, and gives the client's own socket to `connect` once the answer is out.
pub(crate) fn upgrade<B, F, W>(request: Request<B>, content_type: &'static str, connect: F) -> Answer
where
    B: Send + 'static,
    F: FnOnce(Connection) -> W + Send + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let connected = async {
            let upgraded = upgraded.await.map_err(|error| Error::system("the client went away").caused_by(error))?;
            let connection = into_connection(upgraded)?;
            until_read(&connection.socket).await;
            connect(connection).await
        };
        if let Err(error) = connected.await {
            tracing::debug!(error = error.chain(), "a stream could not be connected");
        }
    });
    let mut answer = response::with_type(response::empty(StatusCode::SWITCHING_PROTOCOLS), content_type);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    answer
}

/// Waits, not for long, until the client has read the answer's head.
///
/// Some clients (docker-py) read the head through a buffer and the stream past it: what comes in one piece with the head
/// is lost to them. Docker is slow enough for that never to happen.
async fn until_read(socket: &OwnedFd) {
    let has_read = |socket: &OwnedFd| wharf_sys::net::unread(socket).unwrap_or(0) == 0;
    for _ in 0..YIELDS {
        if has_read(socket) {
            return;
        }
        tokio::task::yield_now().await;
    }
    let Ok(socket) = socket.try_clone() else { return };
    // The runtime's timer counts in milliseconds, which is long compared with the start of a process.
    let waiting = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + HEAD_TIMEOUT;
        while !has_read(&socket) && Instant::now() < end {
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    // It cannot fail but by the runtime's end, which ends this too.
    drop(waiting.await);
}

fn into_connection(upgraded: Upgraded) -> Result<Connection> {
    let parts = upgraded
        .downcast::<TokioIo<Stream>>()
        .map_err(|_| Error::system("the connection is of a kind that this server did not make"))?;
    let socket = parts.io.into_inner().into_fd().context("cannot take the client's connection")?;
    Ok(Connection { socket, early: parts.read_buf.to_vec() })
}

/// For clients that do not ask for an upgrade: their request's body is standard input, the answer's body the output.
///
/// The engine stays in the path of these streams, which end with it.
pub(crate) async fn relay<F, W>(input: Option<Incoming>, content_type: &'static str, connect: F) -> Result<Answer>
where
    F: FnOnce(Connection) -> W,
    W: Future<Output = Result<()>>,
{
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
    let theirs = theirs.into_std().context("cannot prepare a socket")?;
    let (output, sink) = tokio::io::split(ours);
    let pump = Pump(input.map(|input| tokio::spawn(pump(input, sink))));
    connect(Connection { socket: theirs.into(), early: Vec::new() }).await?;
    Ok(response::stream(content_type, Relayed { output: ReaderStream::new(output), _pump: pump }.into_stream()))
}

/// Copies standard input; its end is passed on as a half-close.
async fn pump(input: Incoming, mut sink: WriteHalf<UnixStream>) -> io::Result<()> {
    let mut pieces = BodyStream::new(input);
    while let Some(frame) = pieces.next().await {
        if let Ok(bytes) = frame.map_err(io::Error::other)?.into_data() {
            sink.write_all(&bytes).await?;
        }
    }
    sink.shutdown().await
}

struct Relayed {
    output: ReaderStream<ReadHalf<UnixStream>>,
    _pump: Pump,
}

impl Relayed {
    fn into_stream(self) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
        futures_util::stream::unfold(self, |mut this| async { Some((this.output.next().await?, this)) })
    }
}

/// Stops copying when the client goes away.
struct Pump(Option<tokio::task::JoinHandle<io::Result<()>>>);

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
