//! Requests and answers of the registry on the wire.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, with `%3A` and `%2F` undone.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pair = self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?;
        Some(pair.1.replace("%3A", ":").replace("%2F", "/"))
    }

    pub(super) fn length(&self) -> u64 {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// Reads a request's head; `None` when the client has gone.
pub(super) fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request { method, path: path.to_owned(), query: query.to_owned(), headers: Vec::new() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Some(request),
        }
    }
}

/// Reads a body of known length.
pub(super) fn body(stream: &mut impl BufRead, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// An error in the registries' own form.
    pub(super) fn error(status: u16, code: &str) -> Self {
        let text = serde_json::json!({"errors": [{"code": code, "message": code.to_lowercase().replace('_', " ")}]});
        Self::new(status).with("content-type", "application/json").body(text.to_string().into_bytes())
    }

    /// Writes head and body; of the answer to a `HEAD` only the former.
    pub(super) fn send(&self, stream: &mut &TcpStream, to_head: bool) -> io::Result<()> {
        stream.write_all(self.head(self.body.len() as u64).as_bytes())?;
        if to_head { Ok(()) } else { stream.write_all(&self.body) }
    }

    pub(super) fn head(&self, len: u64) -> String {
        let mut head = format!("HTTP/1.1 {} Answer\r\ncontent-length: {len}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}
