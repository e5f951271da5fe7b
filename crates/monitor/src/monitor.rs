//! The monitor's event loop.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::{SocketFlags, accept_with};
use wharf_types::{Error, Result, ResultExt};

use crate::connection::{Connection, Events};
use crate::dns::NameServer;
use crate::health::Checker;
use crate::launch::Launch;
use crate::listener::Listener;
use crate::poll::{Poll, Token};
use crate::protocol::{Event, Reply};
use crate::relay::Relays;
use crate::session::Session;
use crate::start::{FIRST, Running};

/// How much is read at once, in bytes: what a pipe holds.
const SCRATCH: usize = 64 * 1024;

/// How often things are looked at whose time may run out; also after how long without work memory is given back.
const TICK: Duration = Duration::from_millis(500);

/// The kernel counts waits in milliseconds, and one that ends too early would be for nothing.
const ROUND_UP: Duration = Duration::from_millis(1);

/// A running container's monitor.
pub(crate) struct Monitor {
    pub(crate) run_dir: PathBuf,
    pub(crate) poll: Poll,
    pub(crate) listener: Listener,
    pub(crate) connections: Vec<Connection>,
    next_connection: u32,
    pub(crate) events: Events,
    /// The first process's session under [`FIRST`], and those of execs.
    pub(crate) sessions: BTreeMap<u32, Session>,
    pub(crate) next_session: u32,
    /// The ids of the execs that have a session.
    pub(crate) execs: BTreeMap<u32, String>,
    /// Processes that do not run their program yet, by the numbers of their sessions to be.
    pub(crate) launches: BTreeMap<u32, Launch>,
    pub(crate) container: Container,
    /// The health check, if there is one.
    pub(crate) health: Option<Checker>,
    /// The name server inside the container.
    pub(crate) names: Option<NameServer>,
    /// Connections whose bytes are passed on.
    pub(crate) relays: Relays,
    /// The first process's exit code.
    exit: Option<i32>,
    scratch: Vec<u8>,
    /// Whether anything was done since the last [`Monitor::rest`].
    restless: bool,
}

/// What belongs to the container beside its processes.
pub(crate) struct Container {
    /// Its network; `None` once it is taken down.
    pub sandbox: Option<wharf_network::Sandbox>,
    /// Its cgroup.
    pub cgroup: wharf_runtime::cgroup::Group,
    /// Holds its mounts until the monitor ends.
    _mounts: Option<OwnedFd>,
    /// When it started, RFC 3339 with nanoseconds.
    pub started_at: String,
    /// Whether it has a PID namespace of its own, so that the kernel ends all of its processes with the first.
    pub own_pids: bool,
    /// The adjustment of the OOM killer that this process had before it was protected, for processes which ask for none.
    pub oom_score_adj: Option<i32>,
}

impl Monitor {
    /// Takes over a container that has just been started; `engine` is the connection that asked for it.
    pub(crate) fn new(run_dir: PathBuf, poll: Poll, listener: Listener, engine: Connection, running: Running) -> Self {
        let Running { session, sandbox, cgroup, mounts, started_at, own_pids, names, relays, health } = running;
        let container =
            Container { sandbox: Some(sandbox), cgroup, _mounts: mounts, started_at, own_pids, oom_score_adj: None };
        Self {
            run_dir,
            poll,
            listener,
            next_connection: engine.number() + 1,
            connections: vec![engine],
            events: Events::default(),
            sessions: BTreeMap::from([(FIRST, session)]),
            next_session: FIRST + 1,
            execs: BTreeMap::new(),
            launches: BTreeMap::new(),
            container,
            health: health.map(|plan| Checker::new(plan, Instant::now())),
            names,
            relays,
            exit: None,
            scratch: Vec::new(),
            restless: true,
        }
    }

    /// Serves until the container's first process has ended; its exit code.
    pub(crate) fn serve(&mut self) -> Result<i32> {
        loop {
            if let Some(code) = self.exit {
                return Ok(code);
            }
            let events = self.poll.wait(self.timeout()).context("cannot wait for events")?;
            if events.is_empty() {
                self.rest();
            }
            for (token, flags) in events {
                self.handle(token, flags);
            }
            self.check_health();
            if let (Some(names), Some(sandbox)) = (&mut self.names, &self.container.sandbox) {
                names.tick(sandbox);
            }
            self.settle();
        }
    }

    /// Goes on with clients that have not received everything yet, for as long as they are worth it.
    pub(crate) fn serve_clients(&mut self) -> Result<()> {
        self.settle();
        while !self.sessions.is_empty() {
            for (token, flags) in self.poll.wait(Some(TICK)).context("cannot wait for clients")? {
                self.handle(token, flags);
            }
            self.settle();
        }
        Ok(())
    }

    pub(crate) fn first(&self) -> Option<&Session> {
        self.sessions.get(&FIRST)
    }

    fn timeout(&self) -> Option<Duration> {
        let asking = self.names.as_ref().is_some_and(NameServer::needs_clock);
        let clock = self.restless || asking || self.sessions.values().any(Session::needs_clock);
        let check = self.health.as_ref().and_then(Checker::deadline);
        let check = check.map(|at| at.saturating_duration_since(Instant::now()) + ROUND_UP);
        clock.then_some(TICK).into_iter().chain(check).min()
    }

    /// Nothing happened for a while: gives back the memory that only work needs. A container that ends at once is spared this.
    fn rest(&mut self) {
        if !std::mem::take(&mut self.restless) {
            return;
        }
        self.container.oom_score_adj.get_or_insert_with(crate::memory::protect);
        self.scratch = Vec::new();
        if let Some(names) = &mut self.names {
            names.forget();
        }
        self.sessions.values_mut().filter_map(|session| session.log.as_mut()).for_each(crate::log::Log::shrink);
        crate::memory::give_back();
    }

    fn handle(&mut self, token: Token, flags: EventFlags) {
        self.restless = true;
        match token {
            Token::Listener => self.accept(),
            Token::Connection(number) => self.connection(number, flags),
            Token::Process(key) => self.process_ended(key),
            Token::Output(key, stream) => {
                self.with_scratch(key, |session, scratch| session.output(stream, scratch));
            }
            Token::Input(key) => {
                self.sessions.entry(key).and_modify(Session::input_ready);
            }
            Token::Client(key, id) => {
                if self.with_scratch(key, |session, scratch| session.client(id, flags, scratch)) {
                    let event = Event::Detached { exec: self.execs.get(&key).cloned() };
                    self.events.publish(event, &mut self.connections);
                }
            }
            Token::Launch(key) => self.launch_ready(key),
            Token::Probe => self.probe_ready(),
            Token::Names(_) | Token::Relay(_) | Token::Relayed(..) => self.network(token, flags),
            Token::Log => {
                self.sessions.entry(FIRST).and_modify(|session| {
                    session.log.iter_mut().for_each(|log| log.ready(flags));
                    session.rearm();
                });
            }
        }
        if let Token::Input(key) | Token::Output(key, _) | Token::Client(key, _) = token {
            self.sessions.entry(key).and_modify(Session::rearm);
        }
    }

    /// Something happened on a socket that serves the container's network.
    fn network(&mut self, token: Token, flags: EventFlags) {
        match (token, &mut self.names, &self.container.sandbox) {
            (Token::Names(number), Some(names), Some(sandbox)) => names.event(number, flags, sandbox),
            (Token::Relay(number), ..) => self.relays.accept(&self.poll, number),
            (Token::Relayed(number, end), ..) => self.relays.event(number, end, flags),
            _ => {}
        }
    }

    fn with_scratch(&mut self, key: u32, action: impl FnOnce(&mut Session, &mut [u8]) -> bool) -> bool {
        self.scratch.resize(SCRATCH, 0);
        self.sessions.get_mut(&key).is_some_and(|session| action(session, &mut self.scratch))
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Some(listener) = self.listener.socket() else { return };
        if let Ok(socket) = accept_with(listener, flags) {
            self.connections.push(Connection::new(&self.poll, self.next_connection, socket));
            self.next_connection += 1;
        }
    }

    fn connection(&mut self, number: u32, flags: EventFlags) {
        let Some(index) = self.connections.iter().position(|connection| connection.number() == number) else { return };
        if flags.contains(EventFlags::OUT) {
            self.connections[index].flush();
        }
        while let Some(received) = self.connections[index].receive() {
            if let Some(reply) = self.answer(index, received).unwrap_or_else(|error| Some(failed(&error))) {
                self.connections[index].reply(reply);
            }
        }
    }

    /// Reaps a session's process if it has ended, and tells the engine.
    pub(crate) fn process_ended(&mut self, key: u32) {
        let Some(code) = self.sessions.get_mut(&key).and_then(Session::reap) else { return };
        if key == FIRST {
            self.exit = Some(code);
        }
        if let Some(id) = self.execs.get(&key).cloned() {
            self.events.publish(Event::ExecExited { id, code }, &mut self.connections);
        }
    }

    /// Tells the engine how healthy the container is.
    pub(crate) fn report_health(&mut self) {
        if let Some(checker) = &self.health {
            Events::mention(&Event::Health(checker.health().clone()), &mut self.connections);
        }
    }

    /// Reads what is left of a session's output without regard to slow clients.
    pub(crate) fn drain(&mut self, key: u32) {
        let Some(session) = self.sessions.get(&key) else { return };
        let open: Vec<_> = session.open_outputs().map(|(stream, _)| stream).collect();
        for stream in open {
            while self.with_scratch(key, |session, scratch| session.output(stream, scratch)) {}
        }
    }

    /// Lets go of what is over: connections, clients, and execs whose process and output have ended.
    fn settle(&mut self) {
        self.connections.retain(|connection| !connection.is_closed());
        if let Some(session) = self.sessions.get_mut(&FIRST).filter(|session| session.needs_clock()) {
            session.log.iter_mut().for_each(crate::log::Log::tend);
            session.rearm();
        }
        let ended = self.sessions.iter().filter(|(key, session)| **key != FIRST && session.exit().is_some());
        let ended: Vec<u32> = ended.map(|(key, _)| *key).collect();
        for key in ended {
            self.drain(key);
            self.sessions.entry(key).and_modify(|session| {
                if session.is_silent() {
                    session.finish()
                }
            });
            self.probe_ended(key);
        }
        self.sessions.values_mut().filter(|session| session.is_owing()).for_each(Session::rearm);
        self.sessions.retain(|_, session| !session.is_over());
        self.execs.retain(|key, _| self.sessions.contains_key(key));
    }

    /// The descriptors of output that may still come, for all sessions.
    pub(crate) fn open_outputs(&self) -> Vec<impl AsFd + '_> {
        self.sessions.values().flat_map(Session::open_outputs).map(|(_, output)| output).collect()
    }

    /// The session of an exec, or of the first process.
    pub(crate) fn session_of(&self, exec: Option<&str>) -> Result<&Session> {
        let key = match exec {
            None => Some(FIRST),
            Some(id) => self.execs.iter().find(|(_, known)| *known == id).map(|(key, _)| *key),
        };
        let session = key.and_then(|key| self.sessions.get(&key));
        session.ok_or_else(|| Error::not_found(format!("No such exec instance: {}", exec.unwrap_or_default())))
    }
}

/// The answer that carries an error.
pub(crate) fn failed(error: &Error) -> Reply {
    Reply::Failed { kind: error.kind(), message: error.chain(), hint: error.hint().map(str::to_owned) }
}

/// A socket end that does not block.
pub(crate) fn unblock(socket: OwnedFd) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, true).map_err(std::io::Error::from)?;
    Ok(socket)
}
