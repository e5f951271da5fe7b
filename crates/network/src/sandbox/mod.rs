//! A container's network namespace, as its monitor makes it.

mod interfaces;
mod namespace;
mod ports;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_types::{Error, Result, ResultExt};

pub use self::namespace::Entered;
use crate::firewall::Firewall;
use crate::netlink::Request;
use crate::plan::{EndpointPlan, SandboxPlan};
use crate::rtnl::{LOOPBACK, Rtnl, write_delete_link, write_link_up};

/// The network side of one running container. Only for a thread (the monitor's only one) that may change its network namespace.
///
/// ```text
/// create ──► clone the init inside enter() ──► configure ──► (container runs) ──► close
/// ```
#[derive(Debug)]
pub struct Sandbox {
    plan: SandboxPlan,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The host's namespace: there is nothing to do.
    Host,
    /// Someone else's namespace: there is nothing to configure.
    Joined(OwnedFd),
    /// A namespace of our own.
    Own(Own),
}

#[derive(Debug)]
struct Own {
    namespace: OwnedFd,
    /// Opened inside the namespace.
    inside: Rtnl,
    /// Kernel parameters that wait for the interface they belong to.
    waiting: Vec<(String, String)>,
    /// Sockets that hold the published ports of the host.
    held: Vec<OwnedFd>,
    /// Whether elements may have been added to the firewall.
    published: bool,
}

impl Sandbox {
    /// Reserves the host ports and makes the namespace (or opens the one to join), with loopback up and the kernel parameters set. Fast:
    /// no interface is created yet. The caller is in the host's namespace before and after.
    ///
    /// # Errors
    /// `Conflict` with Docker's text `Bind for 0.0.0.0:8080 failed: port is already allocated` when a port is taken;
    /// `InvalidParameter` for a kernel parameter that does not exist or does not take its value.
    pub fn create(plan: SandboxPlan) -> Result<Sandbox> {
        let state = match &plan {
            SandboxPlan::Host => State::Host,
            SandboxPlan::Join(path) => State::Joined(namespace::open(path)?),
            SandboxPlan::Own { endpoints, ports, sysctls, .. } => {
                let held = ports::reserve(ports)?;
                State::Own(Own::create(endpoints, sysctls, held)?)
            }
        };
        Ok(Sandbox { plan, state })
    }

    /// Moves the calling thread into the namespace until the guard is dropped: a child cloned meanwhile is in the sandbox, with no
    /// CLONE_NEWNET of its own. Nothing happens for [`SandboxPlan::Host`].
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn enter(&self) -> Result<Entered> {
        self.namespace().map_or_else(|| Ok(Entered::nowhere()), Entered::enter)
    }

    /// Creates the interfaces, addresses and routes and publishes the ports. After this the container's network works.
    /// On an error, call [`Sandbox::close`].
    ///
    /// # Errors
    /// `NotFound` when a bridge or the firewall's table is missing, `Conflict` when an interface's name is taken.
    pub fn configure(&mut self) -> Result<()> {
        let (State::Own(own), SandboxPlan::Own { endpoints, ports, table, .. }) = (&mut self.state, &self.plan) else {
            return Ok(());
        };
        if !endpoints.is_empty() {
            interfaces::create(&Rtnl::open()?, own.namespace.as_fd(), endpoints)?;
            interfaces::configure(&own.inside, endpoints)?;
        }
        own.set_waiting_parameters()?;
        own.published = !ports.is_empty();
        Firewall::open(table).publish(ports)
    }

    /// The namespace's descriptor (close-on-exec); `None` for [`SandboxPlan::Host`].
    pub fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Host => None,
            State::Joined(namespace) => Some(namespace.as_fd()),
            State::Own(own) => Some(own.namespace.as_fd()),
        }
    }

    /// Takes the ports back, removes the host's side and lets go of the namespace. Goes on past errors and returns them all.
    #[must_use]
    pub fn close(self) -> Vec<Error> {
        let (State::Own(own), SandboxPlan::Own { endpoints, ports, table, .. }) = (self.state, &self.plan) else {
            return Vec::new();
        };
        let mut errors = Vec::new();
        if own.published {
            errors.extend(Firewall::open(table).unpublish(ports).err());
        }
        errors.extend(remove_links(endpoints).err());
        // Only now may others have the ports: their traffic no longer goes to this container.
        drop(own.held);
        errors
    }
}

impl Own {
    fn create(endpoints: &[EndpointPlan], sysctls: &[(String, String)], held: Vec<OwnedFd>) -> Result<Self> {
        let inside = Entered::unshare()?;
        let own = Own {
            namespace: namespace::current()?,
            inside: Rtnl::open()?,
            waiting: interfaces::set_parameters(endpoints, sysctls)?,
            held,
            published: false,
        };
        let mut request = Request::new();
        write_link_up(&mut request, LOOPBACK);
        own.inside.apply(&mut request).context("cannot set the loopback interface up")?;
        inside.leave()?;
        Ok(own)
    }

    fn set_waiting_parameters(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let inside = Entered::enter(self.namespace.as_fd())?;
        interfaces::set_late_parameters(&waiting)?;
        inside.leave()
    }
}

/// Removes the host's sides, and with them the pairs. Those that are gone already are no error.
fn remove_links(endpoints: &[EndpointPlan]) -> Result<()> {
    let mut request = Request::new();
    for endpoint in endpoints {
        write_delete_link(&mut request, &endpoint.host_name);
    }
    let refusals = Rtnl::open()?.send(&mut request)?;
    let failed = refusals.into_iter().find(|refusal| refusal.errno != libc::ENODEV);
    failed.map_or(Ok(()), |refusal| Err(Error::from(refusal))).context("cannot remove the container's network interfaces")
}
