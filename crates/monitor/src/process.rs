//! The monitor as a process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wharf_types::{Error, Result, ResultExt};

use crate::connection::Connection;
use crate::listener::Listener;
use crate::monitor::{Monitor, failed, unblock};
use crate::poll::Poll;
use crate::protocol::{MonitorSpec, Reply, Request, Streams};
use crate::start::{FIRST, Running, start};
use crate::wire::{self, Received};

/// The name of the process, and argument 0 by which the binary knows that it is to be a monitor. Argument 1 is its folder.
pub const NAME: &str = "wharf-monitor";

/// The monitor of one container: `run_dir` is its folder, descriptor 3 the connection to the engine that started it.
///
/// Ends when the container has ended and everything is taken down. To be called first thing in a process that has one thread.
pub fn main(run_dir: PathBuf) -> ExitCode {
    leave_a_trace_of_panics(run_dir.clone());
    match run(run_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(run_dir: PathBuf) -> Result<()> {
    let engine = wharf_sys::inherit::take(3).context("there is no connection to the engine")?;
    settle_in()?;
    let Some(received) = await_start(&engine)? else { return Ok(()) };
    let poll = Poll::new().context("cannot make an epoll set")?;
    let prepared = prepare(&poll, &run_dir, received);
    let (listener, running) = match prepared {
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

/// Waits for [`Request::Start`]; `None` if the engine went away instead.
fn await_start(engine: &OwnedFd) -> Result<Option<Received>> {
    loop {
        let Some(received) = wire::receive(engine).context("cannot receive from the engine")? else { return Ok(None) };
        if matches!(received.document(), Ok(Request::Start { .. })) {
            return Ok(Some(received));
        }
        let answer = failed(&Error::conflict("the container has not been started yet"));
        wire::send(engine, &answer, &[]).context("cannot answer the engine")?;
    }
}

fn prepare(poll: &Poll, run_dir: &Path, received: Received) -> Result<(Listener, Running)> {
    let (spec, clients) = unpack(received)?;
    let listener = Listener::bind(poll, run_dir)?;
    Ok((listener, start(poll, spec, clients)?))
}

fn unpack(received: Received) -> Result<(MonitorSpec, Vec<(OwnedFd, Streams)>)> {
    let invalid = |error: serde_json::Error| Error::invalid("the start request cannot be understood").caused_by(error);
    let Request::Start { attach } = received.document().map_err(invalid)? else {
        return Err(Error::invalid("this is not a start request"));
    };
    let mut descriptors = received.descriptors.into_iter();
    let file = descriptors.next().ok_or_else(|| Error::invalid("the start request came without a description"))?;
    let json = wharf_sys::memfd::read(file).context("cannot read the container's description")?;
    let spec = serde_json::from_slice(&json).map_err(invalid)?;
    if descriptors.len() != attach.len() {
        return Err(Error::invalid("the start request came with another number of clients than it says"));
    }
    Ok((spec, descriptors.zip(attach).collect()))
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
