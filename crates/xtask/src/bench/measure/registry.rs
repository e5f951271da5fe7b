//! Registries side by side: how fast content goes in and out, what that costs them, and how soon they answer after a start.
//!
//! Both are asked by the same few instructions over plain sockets, so that it is the registries that are measured.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wharf_testkit::bulk::{Bulk, Packing, digest};
use wharf_testkit::foreign::find;
use wharf_testkit::{served, wait};

use super::memory::rollup;
use super::pull::{Registry, seconds_computed};
use super::{Setting, timed};
use crate::bench::report::{DEBIAN, Promise, Row};

/// As many as Docker moves at once by default.
const AT_ONCE: usize = 3;
/// How many blobs the large store has.
const MANY: u32 = 100_000;

/// Rows for push, pull and start.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let folder = tempfile::Builder::new().prefix("wharf-bench-registry-").tempdir()?;
    let layout = folder.path().join("layout");
    Bulk::LARGE.write_layout(&layout, "x:1", Packing::Gzip)?;
    let blobs = blobs(&layout.join("blobs/sha256"))?;
    let mut rows = Rows::new(blobs.iter().map(|blob| blob.size).sum());
    let rounds = if setting.quick { 2 } else { 5 };
    for round in 0..rounds {
        // What is freed by one is freed before the other's turn; who begins changes with every round.
        let mut peers: Vec<Peer> = vec![Peer::Wharf];
        peers.extend(find("docker-registry").map(|_| Peer::Debian));
        let first = round % peers.len();
        peers.rotate_left(first);
        for peer in peers {
            let root = folder.path().join("root");
            let (start, registry) = timed(|| Running::start(peer, &setting.binary, &root))?;
            rows.start.push((peer, start));
            rows.transfers(peer, &registry, &blobs)?;
            drop(registry);
            fs::remove_dir_all(&root)?;
        }
    }
    let mut rows = rows.finish();
    rows.push(start_with_many(setting, folder.path())?);
    Ok(rows)
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Wharf,
    Debian,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Wharf => "wharf",
            Self::Debian => DEBIAN,
        }
    }
}

/// A blob in a file.
struct Blob {
    path: PathBuf,
    digest: String,
    size: u64,
}

fn blobs(folder: &Path) -> Result<Vec<Blob>> {
    let mut blobs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let digest = format!("sha256:{}", entry.file_name().to_string_lossy());
        blobs.push(Blob { path: entry.path(), digest, size: entry.metadata()?.len() });
    }
    // The largest first, as they take longest.
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
    Ok(blobs)
}

/// What is collected round by round.
struct Rows {
    megabytes: f64,
    start: Vec<(Peer, f64)>,
    push: Vec<(Peer, f64)>,
    pull: Vec<(Peer, f64)>,
    computed: Vec<(Peer, f64)>,
    memory: Vec<(Peer, f64)>,
}

impl Rows {
    fn new(bytes: u64) -> Self {
        let none = Vec::new;
        let megabytes = bytes as f64 / 1e6;
        Self { megabytes, start: none(), push: none(), pull: none(), computed: none(), memory: none() }
    }

    /// Pushes and pulls everything once, and watches the registry meanwhile.
    fn transfers(&mut self, peer: Peer, registry: &Running, blobs: &[Blob]) -> Result<()> {
        let done = AtomicBool::new(false);
        let computed = seconds_computed(registry.pid());
        thread::scope(|scope| -> Result<()> {
            let watch = scope.spawn(|| highest(registry.pid(), &done));
            let moved = (|| -> Result<(f64, f64)> {
                let pushed = timed(|| each(blobs, |blob| push(registry.address(), blob)))?.0;
                let pulled = timed(|| each(blobs, |blob| pull(registry.address(), blob)))?.0;
                Ok((pushed, pulled))
            })();
            done.store(true, Ordering::Relaxed);
            let highest = watch.join().map_err(|_| anyhow::anyhow!("the one who watched died"))?;
            let (pushed, pulled) = moved?;
            self.push.push((peer, self.megabytes / pushed * 1e3));
            self.pull.push((peer, self.megabytes / pulled * 1e3));
            self.memory.push((peer, highest?));
            Ok(())
        })?;
        self.computed.push((peer, seconds_computed(registry.pid()) - computed));
        Ok(())
    }

    fn finish(self) -> Vec<Row> {
        let what = |text: &str| format!("registry: {text} of {:.0} MB in 8 layers, {AT_ONCE} at once", self.megabytes);
        let equal = Some(Promise::Rate(DEBIAN, 1.0));
        let half = Some(Promise::Times(DEBIAN, 0.5));
        let mut rows = Vec::new();
        for (row, values) in [
            (Row::new(what("push"), "MB/s", equal), self.push),
            (Row::new(what("pull"), "MB/s", equal), self.pull),
            (Row::new("registry: processor time of both", "s", None), self.computed),
            (Row::new("registry: PSS meanwhile, at its highest", "MiB", half), self.memory),
            (Row::new("registry: start to first answer, empty", "ms", None), self.start),
        ] {
            let mut row = row;
            for peer in [Peer::Wharf, Peer::Debian] {
                row.add(peer.name(), values.iter().filter(|(of, _)| *of == peer).map(|(_, value)| *value).collect());
            }
            rows.push(row);
        }
        rows
    }
}

/// The highest proportional set size in MiB until told otherwise.
fn highest(pid: i32, done: &AtomicBool) -> Result<f64> {
    let mut highest = 0.0f64;
    while !done.load(Ordering::Relaxed) {
        highest = highest.max(rollup(pid)? / 1024.0);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(highest)
}

/// Does something with all blobs, several at once.
fn each(blobs: &[Blob], work: impl Fn(&Blob) -> Result<()> + Sync) -> Result<()> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        let one = || -> Result<()> {
            while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                work(blob)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(one)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a client died"))?)
    })
}

/// As Docker does it: begin, send all in one request, name the digest.
fn push(address: &str, blob: &Blob) -> Result<()> {
    let begun = served::request(address, "POST", "/v2/bench/blobs/uploads/", &[], b"")?;
    let place = path_of(begun.header("location"))?;
    let mut stream = TcpStream::connect(address)?;
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        blob.size
    );
    stream.write_all(head.as_bytes())?;
    io::copy(&mut File::open(&blob.path)?, &mut stream)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 202"), "the upload was answered with {answer}");
    let location =
        answer.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case("location")));
    let place = path_of(location.map_or("", |(_, value)| value))?;
    let sign = if place.contains('?') { '&' } else { '?' };
    let done = served::request(address, "PUT", &format!("{place}{sign}digest={}", blob.digest), &[], b"")?;
    ensure!(done.status == 201, "the end of an upload was answered with {}: {}", done.status, done.text());
    Ok(())
}

/// The path of an address, which may have a host before it.
fn path_of(location: &str) -> Result<String> {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| &rest[at..]),
        None => location.starts_with('/').then_some(location),
    };
    Ok(path.context("an upload without an address")?.trim().to_owned())
}

fn pull(address: &str, blob: &Blob) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let path = format!("/v2/bench/blobs/{}", blob.digest);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut buffer = vec![0; 256 << 10];
    let mut whole = 0;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        whole += count as u64;
    }
    ensure!(whole > blob.size, "{} bytes came of {} and a head", whole, blob.size);
    Ok(())
}

/// A registry that answers.
enum Running {
    Wharf(Child, String),
    Debian(Registry),
}

impl Running {
    fn start(peer: Peer, binary: &Path, root: &Path) -> Result<Self> {
        let running = match peer {
            Peer::Debian => Self::Debian(Registry::start(root)?),
            Peer::Wharf => {
                let mut command = Command::new(binary);
                command.args(["registry", "serve", "--listen", "127.0.0.1:0", "--access-log", "none", "--root"]);
                command.arg(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
                let mut process = command.spawn()?;
                let mut line = String::new();
                let output = process.stdout.take().context("a pipe")?;
                io::BufRead::read_line(&mut io::BufReader::new(output), &mut line)?;
                let address = line.trim().rsplit_once("//").map(|(_, address)| address.to_owned());
                Self::Wharf(process, address.context("the registry did not come up")?)
            }
        };
        let answer = || served::request(running.address(), "GET", "/v2/", &[], b"").ok().filter(|a| a.status == 200);
        wait::until("the registry answers", answer);
        Ok(running)
    }

    fn address(&self) -> &str {
        match self {
            Self::Wharf(_, address) => address,
            Self::Debian(registry) => registry.address(),
        }
    }

    fn pid(&self) -> i32 {
        match self {
            Self::Wharf(process, _) => i32::try_from(process.id()).unwrap_or(0),
            Self::Debian(registry) => registry.pid(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Wharf(process, _) = self {
            drop((process.kill(), process.wait()));
        }
    }
}

/// From the start to a blob's answer, where the store has very many.
fn start_with_many(setting: &Setting, folder: &Path) -> Result<Row> {
    let root = folder.join("many");
    let some = fill(&root, MANY)?;
    let what = format!("registry: start to a blob's answer, store of {MANY} blobs");
    let mut row = Row::new(what, "ms", Some(Promise::Limit(1000.0)));
    let mut times = Vec::new();
    for _ in 0..setting.rounds(10) {
        // Only what the kernel cannot know by heart would be a fair start after a boot.
        rustix::fs::sync();
        fs::write("/proc/sys/vm/drop_caches", "2").context("cannot drop the kernel's caches")?;
        let path = format!("/v2/bench/blobs/{some}");
        let answered = || -> Result<Running> {
            let running = Running::start(Peer::Wharf, &setting.binary, &root)?;
            let reply = served::request(running.address(), "GET", &path, &[], b"")?;
            ensure!(reply.status == 200 && digest(&reply.body) == some, "the blob is not there: {}", reply.text());
            Ok(running)
        };
        times.push(timed(answered)?.0);
    }
    row.add("wharf", times);
    Ok(row)
}

/// Lays small blobs into a store as the registry would, all of one repository; gives the digest of one.
fn fill(root: &Path, count: u32) -> Result<String> {
    // As the registry names a repository where its name would be too long.
    let key = digest(b"bench").trim_start_matches("sha256:")[..32].to_owned();
    for first in 0..=255u8 {
        fs::create_dir_all(root.join(format!("blobs/sha256/{first:02x}")))?;
        fs::create_dir_all(root.join(format!("uses/{first:02x}")))?;
    }
    let mut last = String::new();
    for number in 0..count {
        let content = format!("blob {number}");
        last = digest(content.as_bytes());
        let hex = last.trim_start_matches("sha256:");
        fs::write(root.join("blobs/sha256").join(&hex[..2]).join(hex), content)?;
        fs::write(root.join("uses").join(&hex[..2]).join(format!("{hex}.{key}")), "")?;
    }
    Ok(last)
}
