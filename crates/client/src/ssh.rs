//! Engines on other hosts, by way of the person's own `ssh`: its keys, its agent, its configuration.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wharf_types::{Error, Kind, Result};

/// `[user@]host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    /// The engine's socket over there; its client's default where absent.
    path: Option<String>,
}

/// Run over there by the login shell, whichever it is: wharf's client where there is one, or else Docker's.
const DIAL: &str = "if command -v wharf >/dev/null 2>&1; then c=wharf; else c=docker; fi; exec $c $0 system dial-stdio";

impl Ssh {
    /// Reads what stands behind `ssh://`. Nothing in it may look like a flag to `ssh`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (authority, path) = match text.find('/') {
            Some(at) => (&text[..at], Some(&text[at..])),
            None => (text, None),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
        if !plain(host) || !user.is_none_or(plain) {
            return None;
        }
        let path = path.filter(|path| *path != "/").map(str::to_owned);
        let harmless = |path: &String| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        if !path.as_ref().is_none_or(harmless) {
            return None;
        }
        let port = port.map(str::parse).transpose().ok()?;
        Some(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path })
    }

    /// The words behind `ssh`.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
        if let Some(user) = &self.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        let host = self.path.as_ref().map_or_else(String::new, |path| format!("--host=unix://{path}"));
        words.extend(["--".to_owned(), self.host.clone(), format!("sh -c '{DIAL}' {host}")]);
        if host.is_empty() {
            // `$0` would be the shell's name.
            let last = words.len() - 1;
            words[last] = format!("sh -c '{}'", DIAL.replace(" $0", ""));
        }
        words
    }

    /// Starts `ssh`; what it has to say it says on standard error.
    pub(crate) fn connect(&self) -> Result<Session> {
        let mut command = Command::new("ssh");
        command.args(self.words()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let failed = |error: io::Error| {
            Error::new(Kind::Unavailable, format!("cannot run ssh to reach {self}"))
                .with_hint("ssh:// uses the ssh program; is it installed?")
                .caused_by(error)
        };
        let mut child = command.spawn().map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Session { stdin: Some(stdin), stdout, _child: child }),
            _ => Err(failed(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl fmt::Display for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

/// A running `ssh`, which ends when this goes.
pub(crate) struct Session {
    /// Closed to say that no more comes.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for Session {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stdin {
            Some(stdin) => Pin::new(stdin).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_for_ssh() {
        let words = |text: &str| Ssh::parse(text).unwrap().words();
        assert_eq!(words("me@far:2222")[3..8], ["-l", "me", "-p", "2222", "--"]);
        assert_eq!(words("far").last().unwrap().matches("system dial-stdio").count(), 1);
        assert!(words("far/run/x.sock").last().unwrap().ends_with(" --host=unix:///run/x.sock"));
        for bad in ["", "-oProxyCommand=x", "a b", "x@", "-x@far", "far/a;b", "far/$(x)", "far/a'b"] {
            assert!(Ssh::parse(bad).is_none(), "{bad}");
        }
    }
}
