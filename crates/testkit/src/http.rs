//! HTTP/1.1 over a unix socket, as little of it as the Engine API needs: one blocking connection that is kept open.
//!
//! It is used for what no client library shows (status codes, raw frames) and by the benchmark, where the same few
//! instructions must stand before every engine that is measured.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// How long the other side may be silent. Long, because `wait` is silent as long as a container runs.
const SILENCE: Duration = Duration::from_secs(180);

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, with any transfer coding removed.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The answer itself if its status says success.
    ///
    /// # Errors
    /// With status and body if it does not.
    pub fn checked(self) -> io::Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(io::Error::other(format!("HTTP {}: {}", self.status, self.text())))
    }

    /// The answer itself if its status says success.
    ///
    /// # Panics
    /// With status and body if it does not.
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "HTTP {}: {}", self.status, self.text());
        self
    }
}

/// A connection to an engine, made when it is first needed and kept.
#[derive(Debug)]
pub struct Http {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

impl Http {
    /// Connects to `socket` at the first request.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), stream: None }
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// Whatever the socket says, or an answer that is not HTTP.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.request("GET", path, &[], "")
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<Response> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.request("POST", path, &body, "application/json")
    }

    /// Sends a DELETE.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn delete(&mut self, path: &str) -> io::Result<Response> {
        self.request("DELETE", path, &[], "")
    }

    /// Sends any request and reads the whole answer.
    ///
    /// # Errors
    /// As [`Http::get`].
    pub fn request(&mut self, method: &str, path: &str, body: &[u8], content_type: &str) -> io::Result<Response> {
        let mut stream = self.connection()?;
        send_head(stream.get_mut(), method, path, body.len(), content_type, "")?;
        stream.get_mut().write_all(body)?;
        let head = read_head(&mut stream)?;
        let body = read_body(&mut stream, method, &head)?;
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(Response { status: head.status, body })
    }

    /// Sends a request that asks for the raw connection (attach, exec start) and hands the connection over, positioned
    /// after the answer's head.
    ///
    /// # Errors
    /// As [`Http::get`]; an answer other than 101 or 200 becomes an error with its body.
    pub fn hijack(&mut self, path: &str, body: &Value) -> io::Result<BufReader<UnixStream>> {
        let mut stream = self.connection()?;
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
        send_head(stream.get_mut(), "POST", path, body.len(), "application/json", upgrade)?;
        stream.get_mut().write_all(&body)?;
        let head = read_head(&mut stream)?;
        if head.status == 101 || head.status == 200 {
            return Ok(stream);
        }
        let body = read_body(&mut stream, "POST", &head)?;
        Err(io::Error::other(format!("HTTP {}: {}", head.status, String::from_utf8_lossy(&body))))
    }

    fn connection(&mut self) -> io::Result<BufReader<UnixStream>> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(BufReader::new(stream))
    }
}

struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

fn send_head(
    stream: &mut UnixStream,
    method: &str,
    path: &str,
    length: usize,
    content_type: &str,
    extra: &str,
) -> io::Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: engine\r\n{extra}");
    if !content_type.is_empty() {
        head.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    if length > 0 || method != "GET" {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}

fn read_head(stream: &mut BufReader<UnixStream>) -> io::Result<Head> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not an HTTP answer: {line:?}")))?;
    let mut head = Head { status, length: None, chunked: false, close: false };
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(head) };
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value == "chunked",
            "connection" => head.close = value == "close",
            _ => {}
        }
    }
}

fn read_body(stream: &mut BufReader<UnixStream>, method: &str, head: &Head) -> io::Result<Vec<u8>> {
    if method == "HEAD" || head.status == 204 || head.status == 304 {
        return Ok(Vec::new());
    }
    if head.chunked {
        return read_chunks(stream);
    }
    let mut body = Vec::new();
    match head.length {
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        None if head.close => {
            stream.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}

fn read_chunks(stream: &mut BufReader<UnixStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end().split(';').next().unwrap_or(""), 16)
            .map_err(|_| io::Error::other(format!("not a chunk's length: {line:?}")))?;
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        line.clear();
        stream.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answering(answer: &'static [u8]) -> (tempfile::TempDir, Http) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            while stream.read(&mut request).unwrap_or(0) > 0 {
                stream.write_all(answer).unwrap();
            }
        });
        (folder, Http::new(&path))
    }

    #[test]
    fn a_body_of_known_length_leaves_the_connection_usable() {
        let (_folder, mut http) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        for _ in 0..2 {
            let response = http.get("/_ping").unwrap();
            assert_eq!((response.status, response.text().as_str()), (200, "OK"));
        }
    }

    #[test]
    fn chunks_are_joined() {
        let (_folder, mut http) =
            answering(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        let response = http.get("/x").unwrap();
        assert_eq!((response.status, response.text().as_str()), (404, "abcde"));
    }
}
