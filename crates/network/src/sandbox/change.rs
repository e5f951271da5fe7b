//! Adding an interface to a container that runs, and taking one away.

use std::os::fd::AsFd;

use wharf_types::{Error, Result};

use super::namespace::Entered;
use super::{Own, Sandbox, State, interfaces};
use crate::plan::{EndpointPlan, Link, SandboxPlan};
use crate::rtnl::Rtnl;

impl Sandbox {
    /// What the sandbox is made to, with the interfaces that came and went since.
    pub fn plan(&self) -> &SandboxPlan {
        &self.plan
    }

    /// Adds an interface; `position` is its place among those that may give the default route. One that is there already
    /// is no error.
    ///
    /// # Errors
    /// `Conflict` for a sandbox that is not the container's own or whose run is over; those of [`Sandbox::configure`].
    /// Nothing is left of the interface then.
    pub fn connect(&mut self, endpoint: &EndpointPlan, position: usize) -> Result<()> {
        let (own, endpoints) = parts(&mut self.state, &mut self.plan)?;
        if endpoints.iter().any(|known| known.id == endpoint.id) {
            return Ok(());
        }
        let host = Rtnl::open()?;
        let before = endpoints.clone();
        endpoints.insert(position.min(endpoints.len()), endpoint.clone());
        let added = own.add(&host, endpoint, &before, endpoints);
        if added.is_err() {
            // The first error is the one to tell; what cannot be removed now goes with the namespace.
            let _ = own.take_away(&host, endpoint);
            let _ = interfaces::change_default_routes(&own.inside, endpoints, &before);
            *endpoints = before;
        }
        added
    }

    /// Takes an interface away, by its endpoint's id. One that is not there is no error.
    ///
    /// # Errors
    /// As [`Sandbox::connect`]; `System` when the kernel refuses.
    pub fn disconnect(&mut self, id: &str) -> Result<()> {
        let (own, endpoints) = parts(&mut self.state, &mut self.plan)?;
        let Some(position) = endpoints.iter().position(|endpoint| endpoint.id == id) else { return Ok(()) };
        let mut after = endpoints.clone();
        let gone = after.remove(position);
        interfaces::change_default_routes(&own.inside, endpoints, &after)?;
        own.take_away(&Rtnl::open()?, &gone)?;
        *endpoints = after;
        Ok(())
    }
}

fn parts<'a>(state: &'a mut State, plan: &'a mut SandboxPlan) -> Result<(&'a mut Own, &'a mut Vec<EndpointPlan>)> {
    match (state, plan) {
        (State::Own(own), SandboxPlan::Own { endpoints, .. }) => Ok((own, endpoints)),
        (State::Closed(_), _) => Err(Error::conflict("the container has ended")),
        _ => Err(Error::conflict("the container has no network namespace of its own")),
    }
}

impl Own {
    fn add(
        &mut self,
        host: &Rtnl,
        endpoint: &EndpointPlan,
        before: &[EndpointPlan],
        after: &[EndpointPlan],
    ) -> Result<()> {
        let one = std::slice::from_ref(endpoint);
        self.linked = true;
        interfaces::create(host, self.namespace.as_fd(), one)?;
        let inside = Entered::enter(self.namespace.as_fd())?;
        let set = interfaces::set_parameters_of(endpoint);
        inside.leave()?;
        set?;
        interfaces::configure_one(&self.inside, endpoint)?;
        interfaces::settle(host, one)?;
        interfaces::change_default_routes(&self.inside, before, after)?;
        self.waiting.extend(endpoint.sysctls.iter().cloned());
        self.set_waiting_parameters()
    }

    fn take_away(&self, host: &Rtnl, endpoint: &EndpointPlan) -> Result<()> {
        match endpoint.link {
            Link::Veth => interfaces::remove(host, std::slice::from_ref(endpoint)),
            _ => interfaces::remove_inside(&self.inside, &endpoint.container_name),
        }
    }
}
