//! Where an engine listens, and how to get a connection to it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use wharf_types::{Error, Kind, Result};

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`, without encryption.
    Tcp {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 2375 where none is given.
        port: u16,
    },
}

const DEFAULT_TCP_PORT: u16 = 2375;

impl Endpoint {
    /// Makes a connection.
    ///
    /// Fails with [`Kind::Unavailable`] where nobody listens and [`Kind::Forbidden`] where this user may not connect.
    pub async fn connect(&self) -> Result<Stream> {
        let connected = match self {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            Endpoint::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await.and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
        };
        connected.map_err(|error| self.unreachable(error))
    }

    /// What the HTTP `Host` header says; engines on unix sockets do not look at it.
    pub(crate) fn host_header(&self) -> String {
        match self {
            Endpoint::Unix(_) => "wharf".to_owned(),
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        }
    }

    fn unreachable(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Error::forbidden(format!(
                "permission denied while trying to connect to the wharf engine at {self}"
            ))
            .with_hint("run the command as root, or become a member of the group that owns the socket")
            .caused_by(error);
        }
        Error::new(Kind::Unavailable, format!("Cannot connect to the wharf engine at {self}. Is the engine running?"))
            .with_hint("start it with 'wharf engine', or name another one with --host or WHARF_HOST")
            .caused_by(error)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp { .. } => write!(f, "tcp://{}", self.host_header()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads `unix:///path`, `tcp://host[:port]`, `http://host[:port]` or an absolute path.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Endpoint::Unix(text.into()));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| unusable(text))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Endpoint::Unix(rest.into())),
            "tcp" | "http" => parse_host(rest.trim_end_matches('/')).ok_or_else(|| unusable(text)),
            "https" | "ssh" | "npipe" => {
                Err(Error::not_implemented(format!("connections by {scheme}:// are not supported yet"))
                    .with_hint("use unix:// or, on this host only, tcp://"))
            }
            _ => Err(unusable(text)),
        }
    }
}

fn unusable(text: &str) -> Error {
    Error::invalid(format!("unable to parse docker host {text:?}"))
        .with_hint("an engine's address looks like unix:///run/wharf.sock or tcp://127.0.0.1:2375")
}

fn parse_host(text: &str) -> Option<Endpoint> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(DEFAULT_TCP_PORT), |port| port.parse().ok())?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some(Endpoint::Tcp { host: host.to_owned(), port })
}

/// A connection to an engine.
#[derive(Debug)]
pub enum Stream {
    /// Over a unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

/// Does the same with whichever connection it is.
macro_rules! either {
    ($stream:expr, $inner:ident => $do:expr) => {
        match $stream {
            Stream::Unix($inner) => $do,
            Stream::Tcp($inner) => $do,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("unix:///run/wharf.sock", "unix:///run/wharf.sock"),
            ("/run/wharf.sock", "unix:///run/wharf.sock"),
            ("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234"),
            ("tcp://localhost", "tcp://localhost:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
            ("tcp://:99/", "tcp://127.0.0.1:99"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "nonsense", "unix://relative", "tcp://a:b", "tcp://[::1", "ftp://x"] {
            assert_eq!(bad.parse::<Endpoint>().unwrap_err().kind(), Kind::InvalidParameter, "{bad}");
        }
        assert_eq!("ssh://host".parse::<Endpoint>().unwrap_err().kind(), Kind::NotImplemented);
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_words() {
        let error = Endpoint::Unix("/nonexistent/wharf.sock".into()).connect().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().starts_with("Cannot connect to the wharf engine at unix:///nonexistent/wharf.sock."));
        assert!(error.hint().is_some());
    }
}
