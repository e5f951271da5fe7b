//! Logs as Docker sends them: frames for each line, or bare lines for a terminal's output.

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use std::io;
use std::os::fd::OwnedFd;
use wharf_engine::container::{AttachOptions, Connection, LogOptions, LogRecord, LogStream};
use wharf_types::{Error, Result, ResultExt};

use crate::Server;
use crate::hijack::content_type;
use crate::request::{Call, Query};
use crate::response::{self, Answer};
use crate::times;

pub(crate) fn follow(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    let options = options(&call.query)?;
    let log = server.engine.containers().logs(id, options)?;
    let shape =
        Shape { multiplexed: !log.tty, timestamps: call.query.flag("timestamps"), details: call.query.flag("details") };
    let content_type = content_type(call.version, log.tty);
    Ok(response::stream(content_type, pieces(log, shape)))
}

/// Only what was written before.
pub(crate) fn attach_with_logs(server: &Server, id: &str, options: &AttachOptions, call: &Call) -> Result<Answer> {
    let Past { log, shape } = past(server, id, options)?;
    let content_type = content_type(call.version, log.tty);
    Ok(response::stream(content_type, pieces(log, shape)))
}

/// What was written before a client attaches.
pub(crate) struct Past {
    log: LogStream,
    shape: Shape,
}

/// Opens it for what the client wants to see.
pub(crate) fn past(server: &Server, id: &str, options: &AttachOptions) -> Result<Past> {
    let mut past = LogOptions::default();
    (past.filter.stdin, past.filter.stdout, past.filter.stderr) = (false, options.stdout, options.stderr);
    let log = server.engine.containers().logs(id, past)?;
    let shape = Shape { multiplexed: !log.tty && !options.raw, timestamps: false, details: false };
    Ok(Past { log, shape })
}

/// Sends it ahead on the client's connection.
pub(crate) async fn send_past(past: Past, connection: Connection) -> Result<Connection> {
    let mut pieces = std::pin::pin!(pieces(past.log, past.shape));
    let mut connection = connection;
    while let Some(piece) = pieces.next().await {
        let piece = piece.context("cannot read the log")?;
        let sent = tokio::task::spawn_blocking(move || send_all(&connection.socket, &piece).map(|()| connection));
        connection = sent.await.map_err(|error| Error::system("the engine is going down").caused_by(error))??;
    }
    Ok(connection)
}

/// Waits for a client that is slow, not for ever.
fn send_all(socket: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
    while !bytes.is_empty() {
        match rustix::io::write(socket, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&PATIENCE));
                if ready.map_err(io::Error::from)? == 0 {
                    return Err(Error::unavailable("the client takes nothing"));
                }
            }
            Err(error) => return Err(io::Error::from(error)).context("the client is gone"),
        }
    }
    Ok(())
}

fn options(query: &Query) -> Result<LogOptions> {
    let mut options = LogOptions { follow: query.flag("follow"), ..LogOptions::default() };
    // An extension: what was typed, where the container's log has it.
    options.filter.stdin = query.flag("stdin");
    options.filter.stdout = query.flag("stdout");
    options.filter.stderr = query.flag("stderr");
    if !options.filter.stdin && !options.filter.stdout && !options.filter.stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    options.filter.since = times::parameter(query, "since")?;
    options.filter.until = times::parameter(query, "until")?;
    // Docker takes what is no number for all of it.
    options.filter.tail = query.text("tail").parse().ok();
    Ok(options)
}

/// How a record is written.
#[derive(Clone, Copy)]
struct Shape {
    multiplexed: bool,
    timestamps: bool,
    details: bool,
}

/// Records that are there already travel together, up to so many bytes.
const PIECE: usize = 64 * 1024;

fn pieces(log: LogStream, shape: Shape) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    futures_util::stream::try_unfold(log, move |mut log| async move {
        let Some(record) = log.next().await.map_err(io::Error::other)? else { return Ok(None) };
        let mut piece = BytesMut::new();
        write(&mut piece, &record, shape);
        while piece.len() < PIECE
            && let Some(Ok(Some(record))) = log.next().now_or_never()
        {
            write(&mut piece, &record, shape);
        }
        Ok(Some((piece.freeze(), log)))
    })
}

fn write(piece: &mut BytesMut, record: &LogRecord, shape: Shape) {
    let mut line = Vec::with_capacity(record.text.len() + 40);
    if shape.timestamps {
        line.extend_from_slice(record.timestamp().as_bytes());
        line.push(b' ');
    }
    if shape.details {
        let attrs: Vec<String> = record.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        line.extend_from_slice(attrs.join(",").as_bytes());
        line.push(b' ');
    }
    line.extend_from_slice(&record.text);
    if shape.multiplexed {
        piece.extend_from_slice(&frame(record.stream.number(), &line));
    } else {
        piece.extend_from_slice(&line);
    }
}

/// One frame of a multiplexed stream.
pub(crate) fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let header = [stream, 0, 0, 0, length[0], length[1], length[2], length[3]];
    [&header, payload].concat()
}
