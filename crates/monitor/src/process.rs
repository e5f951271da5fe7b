//! The monitor as a process.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wharf_network::Blank;
use wharf_types::{Error, Result, ResultExt};

use crate::connection::Connection;
use crate::listener::Listener;
use crate::monitor::{Monitor, failed, unblock};
use crate::poll::Poll;
use crate::protocol::{MonitorSpec, Reply, Request, Streams};
use crate::start::{FIRST, start};
use crate::wire::{self, Received};

/// The name of the process, and argument 0 by which the binary knows that it is to be a monitor. Argument 1 has room for its
/// folder, and names it once the container is being started.
pub const NAME: &str = "wharf-monitor";

/// The monitor of one container; descriptor 3 is the connection to the engine that started it.
///
/// Ends when the container has ended and everything is taken down. To be called first thing in a process that has one thread.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> Result<()> {
    let engine = wharf_sys::inherit::take(3).context("there is no connection to the engine")?;
    settle_in()?;
    let mut blank = None;
    let Some(received) = await_start(&engine, &mut blank)? else { return Ok(()) };
    let poll = Poll::new().context("cannot make an epoll set")?;
    let prepared = unpack(received).and_then(|order| {
        settle_down(&order.run_dir);
        let listener = Listener::bind(&poll, &order.run_dir)?;
        Ok((order.run_dir, listener, start(&poll, order.spec, order.clients, blank)?))
    });
    let (run_dir, listener, running) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return wire::send(&engine, &failed(&error), &[]).context("cannot answer the engine"),
    };
    let started = Reply::Started { pid: running.session.pid(), started_at: running.started_at.clone() };
    let mut engine = Connection::new(&poll, 0, unblock(engine)?);
    engine.reply(started);
    let mut monitor = Monitor::new(run_dir, poll, listener, engine, running);
    match monitor.serve() {
        Ok(code) => monitor.end(code, None),
        Err(error) => monitor.give_up(error),
    }
    Ok(())
}

/// A name, no folder that somebody might want to unmount, and no signal that could end it: only the engine's word does.
fn settle_in() -> Result<()> {
    // Only people read the name.
    let _ = rustix::thread::set_name(c"wharf-monitor");
    std::env::set_current_dir("/").context("cannot change to the root folder")?;
    wharf_sys::process::block_all_signals().context("cannot block signals")
}

/// Waits for [`Request::Start`]; `None` if the engine went away instead. Makes a `blank` network namespace if asked to.
fn await_start(engine: &OwnedFd, blank: &mut Option<Blank>) -> Result<Option<Received>> {
    loop {
        let Some(received) = wire::receive(engine).context("cannot receive from the engine")? else { return Ok(None) };
        match received.document() {
            Ok(Request::Start { .. }) => return Ok(Some(received)),
            // If it fails now, it is tried again, and the failure told, when it is needed.
            Ok(Request::Prepare) => *blank = Blank::new().ok(),
            _ => {
                let answer = failed(&Error::conflict("the container has not been started yet"));
                wire::send(engine, &answer, &[]).context("cannot answer the engine")?;
            }
        }
    }
}

/// From now on this is the monitor of one container: its folder stands among the arguments, and tells of a defect.
fn settle_down(run_dir: &Path) {
    leave_a_trace_of_panics(run_dir.to_owned());
    // Without it only people, and an engine that looks for a monitor which hangs, are worse off.
    let _ = wharf_sys::arguments::set_arguments(&[NAME.as_bytes(), run_dir.as_os_str().as_bytes()]);
}

/// What a start request says.
struct Order {
    run_dir: PathBuf,
    spec: MonitorSpec,
    clients: Vec<(OwnedFd, Streams)>,
}

fn unpack(received: Received) -> Result<Order> {
    let invalid = |error: serde_json::Error| Error::invalid("the start request cannot be understood").caused_by(error);
    let Request::Start { run_dir, attach } = received.document().map_err(invalid)? else {
        return Err(Error::invalid("this is not a start request"));
    };
    let mut descriptors = received.descriptors.into_iter();
    let file = descriptors.next().ok_or_else(|| Error::invalid("the start request came without a description"))?;
    let json = wharf_sys::memfd::read(file).context("cannot read the container's description")?;
    let spec = serde_json::from_slice(&json).map_err(invalid)?;
    if descriptors.len() != attach.len() {
        return Err(Error::invalid("the start request came with another number of clients than it says"));
    }
    Ok(Order { run_dir, spec, clients: descriptors.zip(attach).collect() })
}

impl Monitor {
    /// The monitor can no longer do its work: the container ends, in an orderly way.
    fn give_up(self, error: Error) {
        let killed = self.session_of(None).and_then(|session| session.signal(9));
        let error = match killed {
            Ok(()) => error,
            Err(also) => error.with_hint(also.chain()),
        };
        debug_assert!(self.sessions.contains_key(&FIRST));
        self.end(137, Some(&error));
    }
}

/// Standard error is /dev/null, so a defect would vanish.
fn leave_a_trace_of_panics(run_dir: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        let _ = std::fs::write(run_dir.join("monitor.panic"), panic.to_string());
    }));
}
