//! A registry of a test's own: the `wharf` program on a free port of the loopback interface.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::engine;

/// A registry with its own folder, gone without a trace when this value goes.
pub struct TempRegistry {
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
    address: String,
}

impl TempRegistry {
    /// Starts one that everybody may use.
    ///
    /// # Panics
    /// If it does not come up, with what it said.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments of `wharf registry serve`; `{}` in them stands for its folder.
    ///
    /// # Panics
    /// As [`TempRegistry::start`].
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::Builder::new().prefix("wharf-registry-").tempdir().expect("a folder"), arguments)
    }

    /// Starts one in a folder that holds files for it already.
    ///
    /// # Panics
    /// As [`TempRegistry::start`].
    pub fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        Self::start_with_variables(folder, arguments, &[])
    }

    /// Starts one with variables in its otherwise empty environment.
    ///
    /// # Panics
    /// As [`TempRegistry::start`].
    pub fn start_with_variables(folder: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let path = folder.path().display().to_string();
        let arguments = arguments.iter().map(|argument| argument.replace("{}", &path)).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let address = "127.0.0.1:0".to_owned();
        let mut registry = Self { folder, arguments, environment, process: None, address };
        registry.restart();
        registry
    }

    /// Other arguments for the next start.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        let path = self.folder.path().display().to_string();
        self.arguments = arguments.iter().map(|argument| argument.replace("{}", &path)).collect();
    }

    /// Starts it again, at the same address.
    ///
    /// # Panics
    /// As [`TempRegistry::start`].
    pub fn restart(&mut self) {
        self.end(Signal::KILL);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = Command::new(engine::program());
        command.env_clear().args(["registry", "serve", "--listen", &self.address, "--root"]).arg(self.root());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().expect("wharf can be executed");
        let mut line = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("the pipe can be read");
        self.process = Some(process);
        let address = line.trim().rsplit_once("//").map(|(_, address)| address.to_owned());
        self.address = address.unwrap_or_else(|| panic!("the registry did not come up:\n{}", self.log()));
    }

    /// `127.0.0.1:PORT`, the registry's part of a reference.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A reference to an image there: `127.0.0.1:PORT/NAME`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Where its content is.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The folder around it, for files of the test.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Sends one request (without encryption) and reads the whole answer.
    ///
    /// # Errors
    /// Whatever the socket says, or an answer that is not HTTP.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        request(&self.address, method, path, headers, body)
    }

    /// Puts a blob into a repository; gives its digest.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn push_blob(&self, name: &str, content: &[u8]) -> String {
        let digest = digest(content);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let reply = self.request("POST", &path, &[], content).expect("the registry answers");
        assert_eq!(reply.status, 201, "{}", reply.text());
        digest
    }

    /// Puts a manifest into a repository; gives its digest.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn push_manifest(&self, name: &str, reference: &str, media_type: &str, content: &[u8]) -> String {
        let path = format!("/v2/{name}/manifests/{reference}");
        let reply = self.request("PUT", &path, &[("Content-Type", media_type)], content).expect("the registry answers");
        assert_eq!(reply.status, 201, "{}", reply.text());
        digest(content)
    }

    /// What it has said on standard error: its log and the access log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Kills it as a crash would; [`TempRegistry::restart`] brings it back.
    pub fn kill9(&mut self) {
        self.end(Signal::KILL);
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
                // One that has ended already needs no signal.
                let _ = kill_process(pid, signal);
            }
            let _ = process.wait();
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for TempRegistry {
    fn drop(&mut self) {
        self.end(Signal::KILL);
    }
}

/// An answer of a registry.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that name, in lower case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends one HTTP/1.1 request over a connection of its own.
///
/// # Errors
/// Whatever the socket says, or an answer that is not HTTP.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A server that refuses need not read everything.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("the answer has no end of its head"))?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()));
    Ok(Reply {
        status: status.ok_or_else(|| io::Error::other("this is no HTTP"))?,
        headers: headers.collect(),
        body: answer[end + 4..].to_vec(),
    })
}

/// `sha256:…` of some content.
pub fn digest(content: &[u8]) -> String {
    use sha2::Digest;
    let hash: [u8; 32] = sha2::Sha256::digest(content).into();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
