//! Processes between their clone and their program. Nothing waits for them: the container may be frozen meanwhile, or the
//! program lie on a file system that does not answer.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use wharf_runtime::exec::{self, Progress, Starting};
use wharf_runtime::spec::Process;
use wharf_runtime::{Child, Stdio};
use wharf_types::{Error, Result, ResultExt};

use crate::monitor::{Monitor, failed};
use crate::poll::{Token, Watched};
use crate::protocol::{Reply, Streams};
use crate::session::{Capture, Ends, Session};
use crate::stdio;

/// A process that is being started.
pub(crate) struct Launch {
    starting: Starting,
    /// Its channel.
    _watch: Watched,
    ends: Ends,
    /// Whether anybody may write to its standard input.
    stdin: bool,
    purpose: Purpose,
}

/// Who wants it.
pub(crate) enum Purpose {
    /// An engine that waits for the answer, and perhaps a client.
    Exec {
        /// The engine's connection.
        connection: u32,
        /// The exec's id.
        id: String,
        /// The client's connection.
        client: Option<(OwnedFd, Streams)>,
        /// When it was asked for, RFC 3339 with nanoseconds.
        started_at: String,
    },
    /// The health check.
    Check,
}

impl Launch {
    /// Gives it up.
    pub(crate) fn kill(&self) {
        // It has ended just now: good enough.
        let _ = self.starting.kill();
    }
}

impl Monitor {
    /// Begins a process in the container; the number of its session to be.
    pub(crate) fn launch(&mut self, process: &Process, streams: Option<&Streams>, purpose: Purpose) -> Result<u32> {
        let init = self.first().ok_or_else(|| Error::conflict("the container has ended"))?.pidfd();
        let stdin = streams.is_some_and(|streams| streams.stdin);
        let (stdio, ends) = match process.tty {
            true => (Stdio::Terminal, Ends::default()),
            false => stdio::pipes(stdin, streams.is_some())?,
        };
        let starting = exec::begin(init, process, stdio, &self.container.cgroup)?;
        let channel = starting.channel().try_clone_to_owned().context("cannot duplicate a descriptor")?;
        let key = self.next_session;
        let mut watch = self.poll.watch(channel, Token::Launch(key));
        watch.want(Some(EventFlags::IN)).context("cannot wait for the new process")?;
        self.next_session += 1;
        self.launches.insert(key, Launch { starting, _watch: watch, ends, stdin, purpose });
        Ok(key)
    }

    /// There is news of a process that is being started.
    pub(crate) fn launch_ready(&mut self, key: u32) {
        let Some(Launch { starting, _watch, ends, stdin, purpose }) = self.launches.remove(&key) else { return };
        let advanced = match self.first() {
            Some(first) => starting.advance(first.pidfd()),
            None => Err(Error::conflict("the container has ended")),
        };
        match advanced {
            Ok(Progress::Starting(starting)) => {
                self.launches.insert(key, Launch { starting, _watch, ends, stdin, purpose });
            }
            Ok(Progress::Running(child)) => match self.session(key, child, ends, stdin) {
                Ok(session) => self.launched(key, session, purpose),
                Err(error) => self.not_launched(key, &purpose, &error),
            },
            Err(error) => self.not_launched(key, &purpose, &error),
        }
    }

    fn session(&self, key: u32, mut child: Child, pipes: Ends, stdin: bool) -> Result<Session> {
        let mut ends = match child.take_terminal() {
            Some(master) => stdio::terminal(master)?,
            None => pipes,
        };
        ends.stdin.take_if(|_| !stdin);
        Session::new(&self.poll, key, child, ends, true)
    }

    fn launched(&mut self, key: u32, mut session: Session, purpose: Purpose) {
        match purpose {
            Purpose::Exec { connection, id, client, started_at } => {
                if let Some((client, streams)) = client {
                    session.attach(client, streams);
                }
                let reply = Reply::Started { pid: session.pid(), started_at };
                self.execs.insert(key, id);
                self.reply(connection, reply);
            }
            Purpose::Check => session.capture = Some(Capture::default()),
        }
        self.sessions.insert(key, session);
    }

    fn not_launched(&mut self, key: u32, purpose: &Purpose, error: &Error) {
        match purpose {
            Purpose::Exec { connection, .. } => self.reply(*connection, failed(error)),
            Purpose::Check => self.check_not_begun(key, error),
        }
    }

    /// Answers an engine, unless it has gone away.
    fn reply(&mut self, connection: u32, reply: Reply) {
        if let Some(connection) = self.connections.iter_mut().find(|known| known.number() == connection) {
            connection.reply(reply);
        }
    }
}
