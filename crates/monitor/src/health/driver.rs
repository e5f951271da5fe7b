//! Makes the checks: a process in the container, or a connection to it.

use std::time::{Duration, Instant};

use wharf_types::{Error, Result};

use super::socket::Connecting;
use super::{Phase, Probing};
use crate::launch::{Launch, Purpose};
use crate::monitor::Monitor;
use crate::protocol::{Checked, Probe, Streams};
use crate::session::Capture;
use crate::start::now;

/// The exit code of a check that has none of its own, as Docker's.
const NO_CODE: i32 = -1;

/// A check's process writes into pipes, although nobody is attached.
const STREAMS: Streams =
    Streams { stdin: false, stdout: false, stderr: false, multiplexed: false, detach_keys: Vec::new() };

impl Monitor {
    /// Begins a check whose time has come, and gives one up that takes too long.
    pub(crate) fn check_health(&mut self) {
        let Some(checker) = &self.health else { return };
        if checker.deadline().is_none_or(|at| at > Instant::now()) {
            return;
        }
        match &checker.phase {
            Phase::Waiting { .. } => self.begin_check(),
            Phase::Probing { .. } => self.give_check_up(),
        }
    }

    fn begin_check(&mut self) {
        let Some(checker) = &self.health else { return };
        let (began, start, probe) = (Instant::now(), now(), checker.plan.probe.clone());
        let begun = match probe {
            Probe::Command(mut process) => {
                process.oom_score_adj = process.oom_score_adj.or(self.container.oom_score_adj);
                self.begin_process(&process).map(Probing::Process)
            }
            Probe::Tcp(address) => self.connect(address, None).map(Probing::Socket),
            Probe::Http { address, host, path } => self.connect(address, Some((&host, &path))).map(Probing::Socket),
        };
        match begun {
            Ok(probing) => {
                if let Some(checker) = &mut self.health {
                    checker.phase = Phase::Probing { began, start, probing };
                }
            }
            Err(error) => self.conclude(&start, NO_CODE, error.chain()),
        }
    }

    fn begin_process(&mut self, process: &wharf_runtime::spec::Process) -> Result<u32> {
        self.launch(process, Some(&STREAMS), Purpose::Check)
    }

    /// A check's process could not be started.
    pub(crate) fn check_not_begun(&mut self, key: u32, error: &Error) {
        if let Some(Phase::Probing { start, probing: Probing::Process(probe), .. }) =
            self.health.as_ref().map(|checker| &checker.phase)
            && *probe == key
        {
            let start = start.clone();
            self.conclude(&start, NO_CODE, error.chain());
        }
    }

    fn connect(&mut self, address: std::net::SocketAddr, page: Option<(&str, &str)>) -> Result<Connecting> {
        let gone = || Error::conflict("the container's network is gone");
        let sandbox = self.container.sandbox.as_ref().ok_or_else(gone)?;
        // A socket belongs to the namespace that it was made in, wherever it is used.
        let inside = sandbox.enter()?;
        let socket = Connecting::socket(address);
        inside.leave()?;
        Connecting::begin(&self.poll, socket?, address, page)
    }

    /// Something happened on the check's connection.
    pub(crate) fn probe_ready(&mut self) {
        let Some(Phase::Probing { start, probing: Probing::Socket(socket), .. }) =
            self.health.as_mut().map(|checker| &mut checker.phase)
        else {
            return;
        };
        if let Some(outcome) = socket.proceed() {
            let start = std::mem::take(start);
            match outcome {
                Ok(output) => self.conclude(&start, 0, output),
                Err(output) => self.conclude(&start, 1, output),
            }
        }
    }

    /// A session has ended whose process may have been a check's; its output has been read.
    pub(crate) fn probe_ended(&mut self, key: u32) {
        let Some(session) = self.sessions.get(&key).filter(|session| session.is_silent()) else { return };
        let output = session.capture.as_ref().map(Capture::text).unwrap_or_default();
        let code = session.exit().unwrap_or(NO_CODE);
        if let Some(Phase::Probing { start, probing: Probing::Process(probe), .. }) =
            self.health.as_ref().map(|checker| &checker.phase)
            && *probe == key
        {
            let start = start.clone();
            self.conclude(&start, code, output);
        }
    }

    fn give_check_up(&mut self) {
        let Some(checker) = &self.health else { return };
        let Phase::Probing { start, probing, .. } = &checker.phase else { return };
        if let Probing::Process(key) = probing {
            // It may have ended just now: good enough.
            let _ = self.sessions.get(key).map(|session| session.signal(9));
            self.launches.get(key).map(Launch::kill);
        }
        let (start, after) = (start.clone(), in_words(checker.plan.timeout));
        self.conclude(&start, NO_CODE, format!("Health check exceeded timeout ({after})"));
    }

    fn conclude(&mut self, start: &str, exit_code: i32, output: String) {
        let checked = Checked { start: start.to_owned(), end: now(), exit_code, output };
        if let Some(checker) = &mut self.health {
            checker.conclude(checked, Instant::now());
        }
        self.report_health();
    }
}

/// As Go writes a duration of whole units: `30s`, `1m30s`, `500ms`.
fn in_words(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (seconds @ 60.., 0) => format!("{}m{}s", seconds / 60, seconds % 60),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, millis) => format!("{seconds}.{millis:03}s"),
    }
}
