//! The server without an engine: a handler of the test's own behind a real socket.

use std::sync::Arc;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wharf_types::{Error, Result};

use super::{Handler, accept_loop};
use crate::hijack;
use crate::listener::{Host, Listener};
use crate::request::{Call, Path};
use crate::response::{self, Answer};
use crate::route::page_not_found;

struct Toy;

impl Handler for Toy {
    async fn handle(&self, path: Path, call: Call) -> Result<Answer> {
        match (call.method(), &path.parts()[..]) {
            (&Method::GET, ["version"]) => response::ok(&call.version.to_string()),
            (&Method::GET, ["panic"]) => panic!("on purpose"),
            (&Method::GET, ["same"]) => Err(Error::not_modified("nothing to do")),
            (&Method::GET, ["hint"]) => Err(Error::conflict("it is taken").with_hint("take another")),
            (&Method::POST, ["echo"]) => response::ok(&call.json::<serde_json::Value>().await?),
            (&Method::POST, ["join"]) if call.wants_upgrade() => Ok(hijack::upgrade(call.into_request(), "a/b", echo)),
            (&Method::POST, ["join"]) => {
                let request = call.into_request();
                hijack::relay(Some(request.into_body()), "a/b", echo).await
            }
            (&Method::GET, ["images", name @ .., "json"]) => response::ok(&name.join("/")),
            _ => Err(page_not_found()),
        }
    }
}

/// Sends back in capitals what comes, as a process would, over the bare socket; half-closes after the client has.
async fn echo(connection: wharf_engine::container::Connection) -> Result<()> {
    let socket = std::os::unix::net::UnixStream::from(connection.socket);
    let mut stream = UnixStream::from_std(socket)?;
    let mut text = connection.early;
    stream.read_to_end(&mut text).await?;
    stream.write_all(&text.to_ascii_uppercase()).await?;
    Ok(stream.shutdown().await?)
}

struct Fixture {
    dir: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&Host::Unix(dir.path().join("s"))).unwrap();
        Self { dir, serving: tokio::spawn(accept_loop(listener, Arc::new(Toy))) }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.path().join("s")).await.unwrap()
    }

    /// Sends bytes, closes that direction, reads to the end.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    }

    async fn post(&self, path: &str, content_type: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n");
        self.raw(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn ping_introduces_the_engine() {
    let fixture = Fixture::new();
    let answer = fixture.get("/_ping").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    for header in
        ["api-version: 1.55", "docker-experimental: false", "ostype: linux", "builder-version: 2", "swarm: inactive"]
    {
        assert!(answer.contains(&format!("{header}\r\n")), "{header} in {answer}");
    }
    assert!(answer.contains("server: Wharf/"));
    let head = fixture.raw("HEAD /v1.30/_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn versions_are_gated() {
    let fixture = Fixture::new();
    assert!(fixture.get("/version").await.ends_with("\"1.55\"\n"));
    assert!(fixture.get("/v1.24/version").await.ends_with("\"1.24\"\n"));
    let old = fixture.get("/v1.23/version").await;
    assert!(
        old.starts_with("HTTP/1.1 400")
            && old.contains("client version 1.23 is too old. Minimum supported API version is 1.24")
    );
    let new = fixture.get("/v1.99/version").await;
    assert!(
        new.starts_with("HTTP/1.1 400")
            && new.contains("client version 1.99 is too new. Maximum supported API version is 1.55")
    );
}

#[tokio::test]
async fn what_is_no_part_of_the_api_is_not_found() {
    let fixture = Fixture::new();
    for path in ["/", "/nonsense", "/v1.40/nonsense", "/vx/version", "/v1.40"] {
        let answer = fixture.get(path).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.ends_with("{\"message\":\"page not found\"}\n"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn errors_are_documents_with_a_hint() {
    let fixture = Fixture::new();
    let taken = fixture.get("/hint").await;
    assert!(taken.starts_with("HTTP/1.1 409"), "{taken}");
    assert!(taken.ends_with("{\"message\":\"it is taken\",\"hint\":\"take another\"}\n"), "{taken}");
    let same = fixture.get("/same").await;
    assert!(same.starts_with("HTTP/1.1 304") && same.ends_with("\r\n\r\n"), "{same}");
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_server_goes_on() {
    let fixture = Fixture::new();
    let answer = fixture.get("/panic").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("\"message\":"), "{answer}");
    assert!(fixture.get("/_ping").await.ends_with("OK"));
}

#[tokio::test]
async fn documents_are_checked_before_they_are_read() {
    let fixture = Fixture::new();
    assert!(fixture.post("/echo", "application/json; charset=utf-8", "{\"a\":1}").await.ends_with("{\"a\":1}\n"));
    assert!(fixture.post("/echo", "text/plain", "{}").await.contains("unsupported Content-Type header (text/plain)"));
    assert!(fixture.post("/echo", "application/json", "{\"a\":").await.starts_with("HTTP/1.1 400"));
    assert!(fixture.post("/echo", "application/json", "").await.starts_with("HTTP/1.1 400"));
    let large = format!("\"{}\"", "x".repeat(5 << 20));
    let mut stream = fixture.connect().await;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may stop reading at its limit.
    drop(stream.write_all(large.as_bytes()).await);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn names_may_have_slashes_and_escapes() {
    let fixture = Fixture::new();
    assert!(fixture.get("/v1.40/images/localhost:5000/a/b%2Fc/json").await.ends_with("\"localhost:5000/a/b/c\"\n"));
}

#[tokio::test]
async fn an_upgrade_hands_over_the_socket_with_what_was_sent_early() {
    let fixture = Fixture::new();
    let mut stream = fixture.connect().await;
    let head = "POST /join HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    stream.write_all(format!("{head}early ").as_bytes()).await.unwrap();
    stream.write_all(b"late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("content-type: a/b\r\n") && answer.contains("upgrade: tcp\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nEARLY LATE"), "{answer}");
}

#[tokio::test]
async fn without_an_upgrade_the_bodies_are_the_streams() {
    let fixture = Fixture::new();
    let answer = fixture.post("/join", "text/plain", "input").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("INPUT"), "{answer}");
}
