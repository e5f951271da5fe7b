//! Where an engine listens, and how to get a connection to it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::{TcpStream, UnixStream};
use wharf_types::{Error, Kind, Result};

use crate::ssh::Ssh;
use crate::tls::Tls;
use crate::wire::{Stream, Wire};

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:///path`.
    Unix(PathBuf),
    /// `tcp://host:port`, without encryption.
    Tcp {
        /// Host name or address, without brackets.
        host: String,
        /// Port; 2375 where none is given, 2376 with TLS.
        port: Option<u16>,
        /// How the connection is encrypted, if it is.
        tls: Option<Tls>,
    },
    /// `ssh://[user@]host[:port][/path/of/the/socket]`: by way of the person's own `ssh`.
    Ssh(Ssh),
}

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

impl Endpoint {
    /// The same place, spoken to with encryption. Only TCP can be encrypted; other places stay as they are.
    #[must_use]
    pub fn encrypted(self, with: Tls) -> Self {
        match self {
            Endpoint::Tcp { host, port, tls: _ } => Endpoint::Tcp { host, port, tls: Some(with) },
            other => other,
        }
    }

    /// Makes a connection whose bytes the caller moves itself, as `system dial-stdio` does.
    ///
    /// Fails with [`Kind::Unavailable`] where nobody listens and [`Kind::Forbidden`] where this user may not connect.
    pub async fn connect(&self) -> Result<Stream> {
        self.wire().await?.into_plain()
    }

    pub(crate) async fn wire(&self) -> Result<Wire> {
        match self {
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unreachable(error))?;
                Ok(Wire::Plain(Stream::Unix(stream)))
            }
            Endpoint::Tcp { host, tls, .. } => {
                let connected = TcpStream::connect((host.as_str(), self.port())).await;
                let stream = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                let stream = stream.map_err(|error| self.unreachable(error))?;
                match tls {
                    Some(tls) => Ok(Wire::Other(Box::new(tls.connect(host, stream).await?))),
                    None => Ok(Wire::Plain(Stream::Tcp(stream))),
                }
            }
            Endpoint::Ssh(ssh) => Ok(Wire::Other(Box::new(ssh.connect()?))),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Endpoint::Tcp { port: Some(port), .. } => *port,
            Endpoint::Tcp { tls: Some(_), .. } => TLS_PORT,
            _ => PLAIN_PORT,
        }
    }

    /// What the HTTP `Host` header says; engines on unix sockets do not look at it.
    pub(crate) fn host_header(&self) -> String {
        match self {
            Endpoint::Unix(_) | Endpoint::Ssh(_) => "wharf".to_owned(),
            Endpoint::Tcp { host, .. } if host.contains(':') => format!("[{host}]:{}", self.port()),
            Endpoint::Tcp { host, .. } => format!("{host}:{}", self.port()),
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
            Endpoint::Ssh(ssh) => ssh.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads `unix:///path`, `tcp://host[:port]`, `http://host[:port]`, `ssh://[user@]host[:port]` or an absolute path.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Endpoint::Unix(text.into()));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| unusable(text))?;
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Endpoint::Unix(rest.into())),
            "tcp" | "http" => parse_host(rest.trim_end_matches('/')).ok_or_else(|| unusable(text)),
            "ssh" => Ssh::parse(rest).map(Endpoint::Ssh).ok_or_else(|| unusable(text)),
            "https" => Err(unusable(text).with_hint("write tcp://HOST:PORT, with --tlsverify")),
            "npipe" => Err(Error::not_implemented("npipe:// is a Windows address, and this client is for Linux")),
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
    let port = port.map(str::parse).transpose().ok()?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some(Endpoint::Tcp { host: host.to_owned(), port, tls: None })
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
            ("ssh://me@far:22/run/x.sock", "ssh://me@far:22/run/x.sock"),
            ("ssh://far", "ssh://far"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown, "{text}");
        }
        for bad in [
            "",
            "nonsense",
            "unix://relative",
            "tcp://a:b",
            "tcp://[::1",
            "ftp://x",
            "ssh://",
            "ssh://a:b",
            "ssh://-oProxyCommand=x",
        ] {
            assert_eq!(bad.parse::<Endpoint>().unwrap_err().kind(), Kind::InvalidParameter, "{bad}");
        }
        assert_eq!("npipe:////./pipe/x".parse::<Endpoint>().unwrap_err().kind(), Kind::NotImplemented);
    }

    #[tokio::test]
    async fn nobody_there_is_said_in_words() {
        let error = Endpoint::Unix("/nonexistent/wharf.sock".into()).connect().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().starts_with("Cannot connect to the wharf engine at unix:///nonexistent/wharf.sock."));
        assert!(error.hint().is_some());
    }
}
