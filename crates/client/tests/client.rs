//! The client against an engine of the test's own that answers from a script.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests, which fail with the place")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use wharf_client::{AttachOptions, Client, Endpoint, EventOptions, Source, WaitCondition};
use wharf_types::Kind;

/// What the engine does with a request line: the bytes to send, and whether it then closes the connection.
type Script = fn(&str) -> (String, bool);

struct Engine {
    dir: tempfile::TempDir,
    /// Number of the connection, and the request line.
    seen: Arc<Mutex<Vec<(usize, String)>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Engine {
    fn new(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let log = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, number, Arc::clone(&log), script));
            }
        });
        Self { dir, seen, serving }
    }

    fn client(&self) -> Client {
        Client::new(Endpoint::Unix(self.dir.path().join("s")))
    }

    fn seen(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: UnixStream, number: usize, log: Arc<Mutex<Vec<(usize, String)>>>, script: Script) {
    while let Some(line) = read_head(&mut stream).await {
        log.lock().unwrap().push((number, line.clone()));
        let (answer, close) = script(&line);
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.starts_with("HTTP/1.1 101") {
            let mut input = Vec::new();
            stream.read_to_end(&mut input).await.unwrap();
            let frame = [&[1, 0, 0, 0, 0, 0, 0, u8::try_from(input.len()).unwrap()][..], &input].concat();
            stream.write_all(&frame).await.unwrap();
            return;
        }
        if close {
            return;
        }
    }
}

/// The request line of the next request, its headers read; bodies are not used here.
async fn read_head(stream: &mut UnixStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap().lines().next()?.trim_end_matches(" HTTP/1.1").to_owned())
}

fn json(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn requests_in_a_row_share_a_connection() {
    let engine = Engine::new(|_| (json("200 OK", "[]"), false));
    let client = engine.client();
    for _ in 0..3 {
        client.container_list(&Default::default()).await.unwrap();
    }
    assert_eq!(engine.seen(), vec![(0, "GET /v1.55/containers/json".to_owned()); 3]);
}

#[tokio::test]
async fn a_connection_that_the_engine_closed_is_replaced() {
    let engine = Engine::new(|_| (json("200 OK", "[]"), true));
    let client = engine.client();
    client.container_list(&Default::default()).await.unwrap();
    // The close may or may not have arrived when the next request goes out; both ways must do.
    tokio::task::yield_now().await;
    client.image_list(&Default::default()).await.unwrap();
    assert_eq!(engine.seen().len(), 2);
}

#[tokio::test]
async fn an_older_engine_is_asked_again_at_its_own_version() {
    let engine = Engine::new(|line| match line {
        "HEAD /_ping" => ("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n".into(), false),
        line if line.contains("/v1.41/") => (json("200 OK", r#"{"Volumes":null,"Warnings":null}"#), false),
        _ => {
            let text = r#"{"message":"client version 1.55 is too new. Maximum supported API version is 1.41"}"#;
            (json("400 Bad Request", text), false)
        }
    });
    let client = engine.client();
    assert!(client.volume_list(&Default::default()).await.unwrap().volumes.is_empty());
    client.volume_list(&Default::default()).await.unwrap();
    let lines: Vec<_> = engine.seen().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["GET /v1.55/volumes", "HEAD /_ping", "GET /v1.41/volumes", "GET /v1.41/volumes"]);
    assert_eq!(client.api_version().to_string(), "1.41");
}

#[tokio::test]
async fn errors_have_kind_text_and_hint() {
    let engine = Engine::new(|line| match line {
        line if line.contains("json") => {
            (json("404 Not Found", r#"{"message":"no such container: x","hint":"look again"}"#), false)
        }
        line if line.contains("stop") => ("HTTP/1.1 304 Not Modified\r\n\r\n".into(), false),
        _ => ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops".into(), false),
    });
    let error = engine.client().container_inspect("x", false).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (Kind::NotFound, Some("look again")));
    assert_eq!(error.to_string(), "no such container: x");
    engine.client().container_stop("x", &Default::default()).await.unwrap();
    let error = engine.client().info().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::System, "oops"));
}

#[tokio::test]
async fn an_attached_client_sends_half_closes_and_receives() {
    let engine = Engine::new(|_| {
        let kind = "application/vnd.docker.multiplexed-stream";
        (format!("HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"), false)
    });
    let options = AttachOptions { stream: true, stdin: true, stdout: true, ..AttachOptions::default() };
    let (mut output, mut input) = engine.client().container_attach("x", &options).await.unwrap().into_split(true);
    input.write_all(b"hello").await.unwrap();
    input.close().await.unwrap();
    let chunk = output.next().await.unwrap().unwrap();
    assert_eq!((chunk.source, &chunk.bytes[..]), (Source::Stdout, &b"hello"[..]));
    assert!(output.next().await.is_none());
}

#[tokio::test]
async fn streams_are_read_line_by_line_and_a_wait_answers_later() {
    let engine = Engine::new(|line| {
        if line.contains("wait") {
            return (json("200 OK", "{\"StatusCode\":7}\r\n"), false);
        }
        let pieces =
            ["{\"Type\":\"contai", "ner\",\"Action\":\"start\"}\n{\"Type\"", ":\"image\",\"Action\":\"tag\"}\n"];
        let chunks: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        (format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"), false)
    });
    let client = engine.client();
    let mut events = client.events(&EventOptions::default()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().action, "start");
    assert_eq!(events.next().await.unwrap().unwrap().kind, "image");
    assert!(events.next().await.is_none());
    let waiting = client.container_wait("x", WaitCondition::Removed).await.unwrap();
    assert_eq!(waiting.outcome().await.unwrap().status_code, 7);
}
