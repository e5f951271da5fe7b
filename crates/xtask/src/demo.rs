//! `cargo xtask demo`: the main job with the release binary, every command as a person would type it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use wharf_testkit::census::Machine;
use wharf_testkit::wait;

use crate::{cargo, command};

const SOCKET: &str = "/run/wharf.sock";
const SUITE: &str = "debian:bookworm";
/// A web server in the one language that Debian's base has: it answers every request with a line about itself.
const SERVER: &str = r#"use IO::Socket; $| = 1;
my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
$SIG{TERM} = sub { print "bye\n"; exit 0 };
print "ready\n";
while (my $c = $s->accept) {
    print "request: ", scalar <$c>;
    print $c "HTTP/1.0 200 OK\r\n\r\nHello from process $$ on ", `hostname`; close $c;
}"#;

/// Build the release binary and do the main job with it, step by step.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Use this binary instead of building the release one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Host port to publish
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Does the main job and checks that nothing but the image is left.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "containers need root: run this as root");
    let start = Instant::now();
    let binary = match &arguments.binary {
        Some(path) => path.canonicalize()?,
        None => cargo::release_binary()?,
    };
    let wharf = Shell { binary };
    println!("wharf is built: {} ({:.0} s)\n", wharf.binary.display(), start.elapsed().as_secs_f64());
    let engine_before = running_engine();
    let before = Machine::take();
    let result = main_job(&wharf, arguments.port);
    if result.is_err() {
        drop(wharf.quiet(&["rm", "-f", "demo"]));
    }
    if !engine_before {
        stop_engine()?;
    }
    result?;
    let left = before.since();
    ensure!(left.is_empty(), "left on the machine:\n  {}", left.join("\n  "));
    println!("# A clean house: no process, mount, cgroup, interface, namespace or firewall rule is left;");
    println!("# the image stays for the next time.\nDone in {:.0} s.", start.elapsed().as_secs_f64());
    Ok(())
}

fn main_job(wharf: &Shell, port: u16) -> Result<()> {
    wharf.show("An engine starts by itself with the first command; the base image comes from Debian's packages, not from a registry.", &["image", "bootstrap", SUITE])?;
    wharf.show(
        "A web server in a container, published on the host.",
        &["run", "-d", "--name", "demo", "-p", &format!("{port}:8080"), SUITE, "perl", "-e", SERVER],
    )?;
    println!("$ curl http://127.0.0.1:{port}/");
    print!("{}", wait::within(Duration::from_secs(20), || fetch(port)).context("the container does not answer")?);
    println!();
    wharf.show("What runs, and what it wrote.", &["ps"])?;
    wharf.show("", &["logs", "demo"])?;
    wharf.show("A second process in it.", &["exec", "demo", "cat", "/etc/debian_version"])?;
    wharf.show("The end.", &["stop", "demo"])?;
    wharf.show("", &["rm", "demo"])?;
    wharf.show("", &["ps", "-a"])
}

/// Runs commands as the person at the terminal would.
struct Shell {
    binary: PathBuf,
}

impl Shell {
    fn show(&self, about: &str, arguments: &[&str]) -> Result<()> {
        if !about.is_empty() {
            println!("# {about}");
        }
        let mut shown = Command::new("wharf");
        println!("$ {}", command::shown(shown.args(arguments)));
        std::io::stdout().flush()?;
        let start = Instant::now();
        let status = Command::new(&self.binary).args(arguments).stdin(Stdio::null()).status()?;
        ensure!(status.success(), "wharf {} failed with {status}", arguments.first().unwrap_or(&""));
        println!("  ({:.0} ms)\n", start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }

    fn quiet(&self, arguments: &[&str]) -> Result<String> {
        command::quietly(Command::new(&self.binary).args(arguments))
    }
}

fn fetch(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// The process of the default engine: the one that listens on the default socket.
fn engine_pid() -> Option<i32> {
    let socket = UnixStream::connect(SOCKET).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&socket).ok()?;
    Some(peer.pid.as_raw_nonzero().get())
}

fn running_engine() -> bool {
    engine_pid().is_some()
}

fn stop_engine() -> Result<()> {
    let Some(pid) = engine_pid() else { bail!("the engine that was started on demand is not found") };
    println!("# The engine was started on demand; it ends here.\n$ kill {pid}");
    command::quietly(&mut command::words(&format!("kill {pid}")))?;
    wait::within(Duration::from_secs(10), || engine_pid().is_none().then_some(())).context("the engine does not end")
}
