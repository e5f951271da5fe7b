//! Checks that need no process: connect over TCP, and perhaps ask for a page over HTTP.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with, sockopt,
};
use wharf_types::{Result, ResultExt};

use crate::poll::{Poll, Token, Watched};

/// How much of an answer is looked at for its first line, in bytes.
const LINE: usize = 512;

/// A connection on its way.
pub(super) struct Connecting {
    socket: Watched,
    address: SocketAddr,
    /// What is still to be sent; `None` once everything is.
    request: Option<Vec<u8>>,
    /// Whether this is about HTTP.
    http: bool,
    answer: Vec<u8>,
}

impl Connecting {
    /// A socket in the calling thread's network namespace.
    pub(super) fn socket(address: SocketAddr) -> Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
            .map_err(std::io::Error::from)
            .context("cannot make a socket for the health check")
    }

    /// Begins to connect; `page` is the `Host` header and the path, for HTTP.
    pub(super) fn begin(poll: &Poll, socket: OwnedFd, address: SocketAddr, page: Option<(&str, &str)>) -> Result<Self> {
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => {
                return Err(std::io::Error::from(error)).with_context(|| format!("cannot connect to {address}"));
            }
        }
        let request = page.map(|(host, path)| {
            format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: wharf\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            )
            .into_bytes()
        });
        let mut socket = poll.watch(socket, Token::Probe);
        socket.want(Some(EventFlags::OUT)).context("cannot wait for the health check")?;
        Ok(Self { socket, address, http: request.is_some(), request, answer: Vec::new() })
    }

    /// Goes on as far as it can without waiting; the outcome in words, if there is one.
    pub(super) fn proceed(&mut self) -> Option<Result<String, String>> {
        match sockopt::socket_error(&self.socket) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => return Some(Err(self.failed("connect to", error))),
        }
        if !self.http {
            return Some(Ok(format!("connected to {}", self.address)));
        }
        if let Some(outcome) = self.ask() {
            return Some(outcome);
        }
        if self.request.is_none() { self.listen() } else { None }
    }

    fn ask(&mut self) -> Option<Result<String, String>> {
        let request = self.request.as_mut()?;
        match send(&self.socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(request.drain(..sent)),
            Err(Errno::AGAIN) => return None,
            Err(error) => return Some(Err(self.failed("ask", error))),
        }
        if request.is_empty() {
            self.request = None;
            if self.socket.want(Some(EventFlags::IN)).is_err() {
                return Some(Err("the health check cannot wait for its answer".into()));
            }
        }
        None
    }

    fn listen(&mut self) -> Option<Result<String, String>> {
        let mut buffer = [0; LINE];
        loop {
            match recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Some(Err(format!("{} hung up before it answered", self.address))),
                Ok((count, _)) => self.answer.extend_from_slice(&buffer[..count]),
                Err(Errno::AGAIN) => return None,
                Err(error) => return Some(Err(self.failed("hear from", error))),
            }
            if let Some(end) = memchr::memchr(b'\n', &self.answer) {
                return Some(verdict(&String::from_utf8_lossy(&self.answer[..end])));
            }
            if self.answer.len() >= LINE {
                return Some(Err(format!("{} does not speak HTTP", self.address)));
            }
        }
    }

    fn failed(&self, what: &str, error: Errno) -> String {
        format!("cannot {what} {}: {}", self.address, std::io::Error::from(error))
    }
}

/// What the first line of an answer says: 200 to 399 is well.
fn verdict(line: &str) -> Result<String, String> {
    let line = line.trim_end();
    let mut words = line.split(' ');
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    match words.next().and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=399) if is_http => Ok(line.to_owned()),
        _ => Err(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_decides() {
        for good in ["HTTP/1.1 200 OK\r", "HTTP/1.0 301 Moved", "HTTP/1.1 204"] {
            assert!(verdict(good).is_ok(), "{good}");
        }
        for bad in ["HTTP/1.1 500 Oh", "HTTP/1.1 404 Not Found", "SSH-2.0-x 200", "HTTP/1.1 x", ""] {
            assert!(verdict(bad).is_err(), "{bad}");
        }
    }
}
