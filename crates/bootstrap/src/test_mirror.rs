//! A small mirror on the loopback interface, with packages made for the test.

use crate::testing::{DebBuilder, TestKey, compress};
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use wharf_types::Digest;

/// Serves files until it is dropped.
pub struct TestMirror {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    files: Mutex<HashMap<String, Vec<u8>>>,
    requests: Mutex<Vec<String>>,
    /// Answers that end after half of what they promise, as if the connection broke.
    cut: Mutex<Vec<String>>,
    stop: std::sync::atomic::AtomicBool,
}

impl TestMirror {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let served = state.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if served.stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                // A client that goes away in the middle is part of some tests.
                let _ = stream.and_then(|stream| serve(stream, &served));
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub fn uri(&self) -> String {
        format!("http://{}/debian", self.address)
    }

    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.state.files.lock().unwrap().insert(format!("/debian/{path}"), content.into());
    }

    pub fn remove(&self, path: &str) {
        self.state.files.lock().unwrap().remove(&format!("/debian/{path}"));
    }

    /// The next answer for this path breaks off half-way.
    pub fn cut_once(&self, path: &str) {
        self.state.cut.lock().unwrap().push(format!("/debian/{path}"));
    }

    /// What was asked for since the last call, with the first byte of ranges.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    /// Publishes packages as the suite `test`, signed by `key`.
    pub fn publish(&self, key: &TestKey, packages: Vec<DebBuilder>) {
        let index = self.put_packages(packages);
        let release = self.release(&index, "");
        self.put("dists/test/InRelease", key.clearsign(&release));
    }

    pub fn put_packages(&self, packages: Vec<DebBuilder>) -> String {
        let mut index = String::new();
        for builder in packages {
            let control = builder.control_text().to_owned();
            let name = control.lines().next().unwrap().trim_start_matches("Package: ").to_owned();
            let content = builder.build();
            let (size, digest) = (content.len(), Digest::of(&content).hex());
            let _ = write!(index, "{control}Filename: pool/{name}.deb\nSize: {size}\nSHA256: {digest}\n\n");
            self.put(&format!("pool/{name}.deb"), content);
        }
        index
    }

    /// Stores the index and gives the text of a Release file that names it.
    pub fn release(&self, index: &str, extra: &str) -> String {
        let folder = format!("main/binary-{}", crate::options::host_architecture());
        let packed = compress("xz", index.as_bytes());
        let line = format!(" {} {} {folder}/Packages.xz", Digest::of(&packed).hex(), packed.len());
        self.put(&format!("dists/test/{folder}/Packages.xz"), packed);
        let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        format!("Origin: Test\nSuite: test\nCodename: test\nDate: {date}\n{extra}SHA256:\n{line}\n")
    }
}

impl Drop for TestMirror {
    fn drop(&mut self) {
        self.state.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let woken = TcpStream::connect(self.address);
        if let (Some(thread), Ok(_)) = (self.thread.take(), woken) {
            thread.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut from) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let range = line.to_ascii_lowercase();
        if let Some(range) = range.strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse().unwrap();
        }
    }
    let path = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
    state.requests.lock().unwrap().push(if from > 0 { format!("{path} from {from}") } else { path.clone() });
    let content = state.files.lock().unwrap().get(&path).cloned();
    let Some(content) = content else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let (status, range) = match from {
        0 => ("200 OK", String::new()),
        _ => {
            ("206 Partial Content", format!("Content-Range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len()))
        }
    };
    let body = &content[from..];
    write!(stream, "HTTP/1.1 {status}\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    let mut cut = state.cut.lock().unwrap();
    let end = match cut.iter().position(|cut| *cut == path) {
        Some(at) => {
            cut.remove(at);
            body.len() / 2
        }
        None => body.len(),
    };
    stream.write_all(&body[..end])?;
    stream.shutdown(Shutdown::Write)
}
