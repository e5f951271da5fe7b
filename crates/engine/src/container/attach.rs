//! Attaching: a client's own connection is handed to the monitor, so that streams outlive the engine.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedRwLockReadGuard;
use wharf_monitor::protocol::Streams;
use wharf_types::{Error, Result, ResultExt};

use super::Containers;
use super::directory::Entry;
use super::request::Request;

/// Keys by which a client leaves unless it asks for others: ctrl-p, ctrl-q.
const DETACH_KEYS: [u8; 2] = [16, 17];

/// What a client wants to see and send.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// It sends standard input.
    pub stdin: bool,
    /// It receives standard output.
    pub stdout: bool,
    /// It receives standard error.
    pub stderr: bool,
    /// Keys by which it leaves, as `ctrl-p,ctrl-q`; the default where it is `None`.
    pub detach_keys: Option<String>,
    /// Without frames, whatever the container is like.
    pub raw: bool,
}

/// A client's connection after the HTTP upgrade.
pub struct Connection {
    /// The socket itself.
    pub socket: OwnedFd,
    /// What had been read from it already.
    pub early: Vec<u8>,
}

/// The right to attach: everything was checked, only the connection is missing.
pub struct Ticket {
    entry: Entry,
    streams: Streams,
    /// Whether the container has a terminal, so that its stream is raw.
    pub tty: bool,
    /// Holds back a start until the connection has arrived.
    promise: Option<OwnedRwLockReadGuard<()>>,
}

impl Containers {
    /// Prepares to attach to a container's first process; one that does not run yet gets the client when it starts.
    pub fn attach(&self, name: &str, options: &AttachOptions) -> Result<Ticket> {
        let entry = self.directory.find(name)?;
        let record = entry.now().record;
        let tty = record.config.tty;
        let streams = streams(options, tty, record.config.open_stdin)?;
        if entry.now().state.running().is_some_and(|running| running.paused) {
            return Err(Error::conflict(format!(
                "container {} is paused, unpause the container before attach",
                entry.id
            )));
        }
        // Held by a start that is under way: then this client comes too late for its first byte anyway.
        let promise = Arc::clone(&entry.promised).try_read_owned().ok();
        Ok(Ticket { entry, streams, tty, promise })
    }
}

impl Ticket {
    /// Hands the connection over; from then on the engine has no part in it.
    pub async fn connect(self, connection: Connection) -> Result<()> {
        let socket = connection.into_socket().await?;
        let streams = self.streams;
        let attached = self.entry.ask(|reply| Request::Attach(streams, socket, reply)).await;
        drop(self.promise);
        attached
    }
}

/// What the monitor is told about a client.
pub fn streams(options: &AttachOptions, tty: bool, open_stdin: bool) -> Result<Streams> {
    Ok(Streams {
        stdin: options.stdin && open_stdin,
        stdout: options.stdout,
        stderr: options.stderr,
        multiplexed: !tty && !options.raw,
        detach_keys: if tty || options.detach_keys.is_some() { detach_keys(options)? } else { Vec::new() },
    })
}

fn detach_keys(options: &AttachOptions) -> Result<Vec<u8>> {
    match options.detach_keys.as_deref() {
        None | Some("") => Ok(DETACH_KEYS.to_vec()),
        Some(text) => text.split(',').map(|key| detach_key(key).ok_or_else(|| invalid_keys(text))).collect(),
    }
}

fn invalid_keys(text: &str) -> Error {
    Error::invalid(format!("Invalid detach keys ({text}) provided")).with_hint("write them as in ctrl-p,ctrl-q")
}

/// A character, or `ctrl-` with a letter or one of `@[\]^_`.
fn detach_key(key: &str) -> Option<u8> {
    match key.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([byte @ b'a'..=b'z']) => Some(byte - b'a' + 1),
        Some([byte @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => Some(byte - b'@'),
        Some(_) => None,
        None => <[u8; 1]>::try_from(key.as_bytes()).ok().map(|[byte]| byte),
    }
}

impl Connection {
    /// The socket as the monitor wants it. If something had been read from it already, a relay puts that first.
    pub(super) async fn into_socket(self) -> Result<OwnedFd> {
        if self.early.is_empty() {
            return Ok(self.socket);
        }
        let (inner, outer) = StdUnixStream::pair().context("cannot make a socket pair")?;
        inner.set_nonblocking(true).context("cannot prepare a socket")?;
        let mut inner = UnixStream::from_std(inner).context("cannot prepare a socket")?;
        inner.write_all(&self.early).await.context("cannot pass on what the client sent")?;
        relay(self.socket, inner)?;
        Ok(outer.into())
    }
}

/// Copies both ways until both sides are done.
fn relay(client: OwnedFd, mut inner: UnixStream) -> Result<()> {
    let is_unix = rustix::net::getsockname(client.as_fd())
        .map_err(std::io::Error::from)
        .context("the client's connection is no socket")?
        .address_family()
        == rustix::net::AddressFamily::UNIX;
    // A client that goes away ends the copying; there is nobody to tell.
    if is_unix {
        let mut client = UnixStream::from_std(client.into()).context("cannot use the client's connection")?;
        tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut client, &mut inner).await) });
    } else {
        let mut client = TcpStream::from_std(client.into()).context("cannot use the client's connection")?;
        tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut client, &mut inner).await) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<u8>> {
        detach_keys(&AttachOptions { detach_keys: Some(text.into()), ..AttachOptions::default() })
    }

    #[test]
    fn detach_keys_are_read_as_docker_reads_them() {
        assert_eq!(keys("").unwrap(), [16, 17]);
        assert_eq!(keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(keys("a,ctrl-\\,ctrl-@").unwrap(), [b'a', 28, 0]);
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-A"] {
            assert!(keys(bad).is_err(), "{bad}");
        }
    }
}
