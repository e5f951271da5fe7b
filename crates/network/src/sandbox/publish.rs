//! The ports of a container that runs.

use std::os::fd::{AsFd, BorrowedFd};

use wharf_types::{Error, Result};

use super::{Sandbox, State, ports};
use crate::firewall::{self, Firewall};
use crate::netlink::Socket;
use crate::plan::{PortPlan, SandboxPlan};

impl Sandbox {
    /// Publishes further ports, all or none.
    ///
    /// # Errors
    /// Those of [`Sandbox::create`]; `Conflict` for a container without a network of its own.
    pub fn publish(&mut self, ports: &[PortPlan]) -> Result<()> {
        let (State::Own(own), SandboxPlan::Own { ports: published, table, .. }) = (&mut self.state, &mut self.plan)
        else {
            return Err(Error::conflict("the container has no network of its own, so that it has no ports to publish"));
        };
        firewall::check(ports)?;
        let held = ports::reserve(ports)?;
        let socket = match own.firewall.take() {
            Some(socket) => socket,
            None => Socket::netfilter()?,
        };
        let socket = own.firewall.insert(socket);
        Firewall::open(table.as_str()).publish_through(socket, ports)?;
        own.held.extend(held);
        published.extend_from_slice(ports);
        Ok(())
    }

    /// Takes published ports back; those that are not published are no error.
    ///
    /// # Errors
    /// `System` when the kernel refuses; the ports are then still held.
    pub fn unpublish(&mut self, ports: &[PortPlan]) -> Result<()> {
        let (State::Own(own), SandboxPlan::Own { ports: published, table, .. }) = (&mut self.state, &mut self.plan)
        else {
            return Ok(());
        };
        if let Some(socket) = &own.firewall {
            Firewall::open(table.as_str()).unpublish_through(socket, ports)?;
        }
        own.held.retain(|held| !ports.contains(&held.port));
        published.retain(|port| !ports.contains(port));
        Ok(())
    }

    /// The ports whose bytes the monitor has to pass on, with the sockets that listen there and do not block.
    pub fn relayed(&self) -> impl Iterator<Item = (&PortPlan, BorrowedFd<'_>)> {
        let held = match &self.state {
            State::Own(own) => own.held.as_slice(),
            _ => &[],
        };
        let listening = held.iter().filter(|held| held.port.is_relayed());
        listening.filter_map(|held| Some((&held.port, held.socket.as_ref()?.as_fd())))
    }
}
