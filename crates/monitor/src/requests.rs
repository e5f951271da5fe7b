//! What an engine may ask of a running container's monitor.

use std::os::fd::OwnedFd;
use std::time::Instant;

use wharf_network::plan::PortPlan;
use wharf_runtime::spec::Process;
use wharf_types::{Error, Result};

use crate::dns::NameServer;
use crate::launch::Purpose;
use crate::monitor::Monitor;
use crate::protocol::{Event, NamesPlan, Reply, Request, Status, Streams};
use crate::session::Session;
use crate::start::{FIRST, now};
use crate::wire::Received;

impl Monitor {
    /// Carries out a request that came on the connection at `index`; `None` if the answer comes later.
    pub(crate) fn answer(&mut self, index: usize, received: Received) -> Result<Option<Reply>> {
        let request: Request = received.document().map_err(|error| {
            Error::not_implemented("the monitor does not understand the request")
                .with_hint("it is of another version than the engine: restart the container")
                .caused_by(error)
        })?;
        let mut descriptors = received.descriptors.into_iter();
        let reply = match request {
            Request::Exec { id, process, streams } => {
                let connection = self.connections[index].number();
                return self.exec(connection, id, *process, streams, descriptors.next()).map(|()| None);
            }
            Request::Prepare | Request::Start { .. } => Err(Error::conflict("the container has been started already")),
            Request::Status => Ok(Reply::Status(self.status())),
            Request::Subscribe => {
                self.events.subscribe(&mut self.connections[index]);
                if let Some(checker) = &self.health {
                    self.connections[index].reply(Reply::Event(Event::Health(checker.health().clone())));
                }
                Ok(Reply::Done)
            }
            Request::Attach(streams) => {
                let socket = descriptors.next().ok_or_else(|| missing("the client's connection"))?;
                self.first_mut()?.attach(socket, streams);
                Ok(Reply::Done)
            }
            Request::Signal { exec, signal } => self.session_of(exec.as_deref())?.signal(signal).map(|()| Reply::Done),
            Request::Resize { exec, rows, columns } => {
                self.session_of(exec.as_deref())?.resize(rows, columns).map(|()| Reply::Done)
            }
            Request::Freeze(frozen) => self.freeze(frozen).map(|()| Reply::Done),
            Request::Ports { publish, unpublish } => self.change_ports(&publish, &unpublish).map(|()| Reply::Done),
            Request::Names(plan) => self.change_names(plan).map(|()| Reply::Done),
            Request::Connect { endpoint, position } => {
                self.sandbox()?.connect(&endpoint, position).map(|()| Reply::Done)
            }
            Request::Disconnect { endpoint } => self.sandbox()?.disconnect(&endpoint).map(|()| Reply::Done),
        };
        reply.map(Some)
    }

    /// Nothing can be started in a frozen cgroup, so the health check has to know.
    fn freeze(&mut self, frozen: bool) -> Result<()> {
        if frozen { self.container.cgroup.freeze() } else { self.container.cgroup.thaw() }?;
        self.health.iter_mut().for_each(|checker| checker.suspend(frozen, Instant::now()));
        Ok(())
    }

    fn status(&self) -> Status {
        let running = self.execs.iter().filter_map(|(key, id)| Some((id, self.sessions.get(key)?)));
        let running = running.filter(|(_, session)| session.exit().is_none());
        Status {
            pid: self.first().map_or(0, Session::pid),
            started_at: self.container.started_at.clone(),
            monitor_pid: rustix::process::getpid().as_raw_nonzero().get(),
            execs: running.map(|(id, session)| (id.clone(), session.pid())).collect(),
            sandbox: self.container.sandbox.as_ref().map(|sandbox| sandbox.plan().clone()),
        }
    }

    fn sandbox(&mut self) -> Result<&mut wharf_network::Sandbox> {
        self.container.sandbox.as_mut().ok_or_else(|| Error::conflict("the container has ended"))
    }

    fn first_mut(&mut self) -> Result<&mut Session> {
        self.sessions.get_mut(&FIRST).ok_or_else(|| Error::conflict("the container has ended"))
    }

    fn change_ports(&mut self, publish: &[PortPlan], unpublish: &[PortPlan]) -> Result<()> {
        let sandbox = self.container.sandbox.as_mut().ok_or_else(|| Error::conflict("the container has ended"))?;
        // First what goes: its host port may come back for another port of the container.
        sandbox.unpublish(unpublish)?;
        if let Err(error) = sandbox.publish(publish) {
            // The first error is the one to tell.
            let _ = sandbox.publish(unpublish);
            return Err(error);
        }
        self.relays.listen(&self.poll, sandbox)
    }

    fn change_names(&mut self, plan: NamesPlan) -> Result<()> {
        let sandbox = self.container.sandbox.as_ref().ok_or_else(|| Error::conflict("the container has ended"))?;
        match &mut self.names {
            Some(names) => names.change(plan),
            None => self.names = Some(NameServer::open(&self.poll, sandbox, plan)?),
        }
        Ok(())
    }

    fn exec(
        &mut self,
        connection: u32,
        id: String,
        mut process: Process,
        streams: Option<Streams>,
        client: Option<OwnedFd>,
    ) -> Result<()> {
        if streams.is_some() && client.is_none() {
            return Err(missing("the client's connection"));
        }
        process.oom_score_adj = process.oom_score_adj.or(self.container.oom_score_adj);
        let wanted = streams.clone();
        let purpose = Purpose::Exec { connection, id, client: client.zip(streams), started_at: now() };
        self.launch(&process, wanted.as_ref(), purpose).map(drop)
    }
}

fn missing(what: &str) -> Error {
    Error::invalid(format!("the request came without {what}"))
}
