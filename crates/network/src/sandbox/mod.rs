//! A container's network namespace, as its monitor makes it.

mod change;
mod holder;
mod interfaces;
mod namespace;
mod ports;
mod publish;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_types::{Error, Result};

pub use self::namespace::Entered;
use self::ports::Held;
use crate::firewall::{self, Firewall};
use crate::netlink::Socket;
use crate::plan::{EndpointPlan, Link, PortPlan, SandboxPlan};
use crate::rtnl::Rtnl;

/// The network side of one running container. Only for a thread (the monitor's only one) that may change its network
/// namespace.
///
/// ```text
/// create ──► clone the init inside enter() ──► configure ──► (container runs) ──► release ──► close
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
    /// Taken back; the kernel may still be busy with it.
    Closed(Closed),
}

#[derive(Debug)]
struct Own {
    namespace: OwnedFd,
    /// Opened inside the namespace.
    inside: Rtnl,
    /// Kernel parameters that wait for the interface they belong to.
    waiting: Vec<(String, String)>,
    /// The published ports of the host.
    held: Vec<Held>,
    /// Open once there are published ports.
    firewall: Option<Socket>,
    /// Whether interfaces may have been created.
    linked: bool,
}

#[derive(Debug, Default)]
struct Closed {
    /// Closing a socket waits until the kernel has freed all deleted elements (some milliseconds), so it is kept until
    /// nobody waits for us.
    firewall: Option<Socket>,
    /// Whether interfaces may still be there.
    linked: bool,
}

/// A network namespace in which nothing was done yet: it takes the kernel about as long as all the rest of a sandbox.
#[derive(Debug)]
pub struct Blank {
    namespace: OwnedFd,
    inside: Rtnl,
}

impl Blank {
    /// Makes one. The calling thread is where it was afterwards.
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn new() -> Result<Self> {
        let inside = Entered::unshare()?;
        let blank = Self { namespace: namespace::current()?, inside: Rtnl::open()? };
        inside.leave()?;
        Ok(blank)
    }

    /// An existing namespace that nobody has done anything to, for instance one of another user namespace.
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn of(namespace: OwnedFd) -> Result<Self> {
        let entered = Entered::enter(namespace.as_fd())?;
        let inside = Rtnl::open()?;
        entered.leave()?;
        Ok(Self { namespace, inside })
    }
}

impl Sandbox {
    /// Reserves the host ports and makes the namespace (or opens the one to join), with the kernel parameters set.
    /// Fast: no interface is created yet. The caller is in the host's namespace before and after.
    ///
    /// # Errors
    /// `Conflict` with Docker's text `Bind for 0.0.0.0:8080 failed: port is already allocated` when a port is taken;
    /// `InvalidParameter` for a kernel parameter that does not take its value; `NotImplemented` for a port that cannot be
    /// published, see [`Firewall::publish`].
    pub fn create(plan: SandboxPlan) -> Result<Sandbox> {
        Self::create_in(plan, None)
    }

    /// [`Sandbox::create`] with a namespace that was made in advance.
    ///
    /// # Errors
    /// As [`Sandbox::create`].
    pub fn create_in(plan: SandboxPlan, blank: Option<Blank>) -> Result<Sandbox> {
        let state = match &plan {
            SandboxPlan::Host => State::Host,
            SandboxPlan::Join(path) => State::Joined(namespace::open(path)?),
            SandboxPlan::Own { endpoints, ports, sysctls, .. } => {
                firewall::check(ports)?;
                let held = ports::reserve(ports)?;
                State::Own(Own::create(blank, endpoints, sysctls, held)?)
            }
        };
        Ok(Sandbox { plan, state })
    }

    /// Moves the calling thread into the namespace until the guard is dropped: a child cloned meanwhile is in the
    /// sandbox, with no CLONE_NEWNET of its own. Nothing happens for [`SandboxPlan::Host`].
    ///
    /// # Errors
    /// `System` when the kernel refuses.
    pub fn enter(&self) -> Result<Entered> {
        self.namespace().map_or_else(|| Ok(Entered::nowhere()), Entered::enter)
    }

    /// Sets loopback up, creates the interfaces, addresses and routes and publishes the ports. After this the
    /// container's network works. On an error, call [`Sandbox::close`].
    ///
    /// # Errors
    /// `NotFound` when a bridge or the firewall's table is missing, `InvalidParameter` for a kernel parameter that does
    /// not exist.
    pub fn configure(&mut self) -> Result<()> {
        let (State::Own(own), SandboxPlan::Own { endpoints, ports, table, .. }) = (&mut self.state, &self.plan) else {
            return Ok(());
        };
        if !endpoints.is_empty() {
            own.linked = true;
            let host = Rtnl::open()?;
            interfaces::create(&host, own.namespace.as_fd(), endpoints)?;
            interfaces::configure(&own.inside, endpoints)?;
            interfaces::settle(&host, endpoints)?;
        } else {
            interfaces::configure(&own.inside, endpoints)?;
        }
        own.set_waiting_parameters()?;
        if !ports.is_empty() {
            let socket = own.firewall.insert(Socket::netfilter()?);
            Firewall::open(table).publish_through(socket, ports)?;
        }
        Ok(())
    }

    /// The namespace's descriptor (close-on-exec); `None` for [`SandboxPlan::Host`] and after [`Sandbox::release`].
    pub fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Host | State::Closed(_) => None,
            State::Joined(namespace) => Some(namespace.as_fd()),
            State::Own(own) => Some(own.namespace.as_fd()),
        }
    }

    /// Takes the published ports back and lets go of the namespace: fast, for the container's exit status waits
    /// behind it. Its processes must have ended. Afterwards the host ports are free for others; the kernel removes
    /// the namespace and its interfaces on its own within some milliseconds. Goes on past errors and returns them
    /// all.
    #[must_use]
    pub fn release(&mut self) -> Vec<Error> {
        let own = match std::mem::replace(&mut self.state, State::Closed(Closed::default())) {
            State::Own(own) => own,
            State::Host | State::Joined(_) => return Vec::new(),
            closed @ State::Closed(_) => {
                self.state = closed;
                return Vec::new();
            }
        };
        let mut errors = Vec::new();
        if let (Some(socket), SandboxPlan::Own { ports, table, .. }) = (&own.firewall, &self.plan) {
            errors.extend(Firewall::open(table).unpublish_through(socket, ports).err());
        }
        // The namespace dies a while later, and until then others could not have the hardware addresses on their parent.
        for endpoint in self.plan.endpoints().iter().filter(|endpoint| own.linked && endpoint.link != Link::Veth) {
            errors.extend(interfaces::remove_inside(&own.inside, &endpoint.container_name).err());
        }
        // Only now may others have the ports: their traffic no longer goes to this container.
        drop(own.held);
        self.state = State::Closed(Closed { firewall: own.firewall, linked: own.linked });
        errors
    }

    /// Waits until nothing is left of the interfaces; when someone else (a process that joined) keeps the namespace
    /// alive, removes them. Releases first if need be. To be called when nobody waits any more, at the end of the
    /// monitor: may take some tens of milliseconds.
    #[must_use]
    pub fn close(mut self) -> Vec<Error> {
        let mut errors = self.release();
        if let (State::Closed(closed), SandboxPlan::Own { endpoints, .. }) = (self.state, &self.plan) {
            if closed.linked {
                errors.extend(interfaces::await_removal(endpoints).err());
            }
            drop(closed.firewall);
        }
        errors
    }
}

/// Removes what a monitor that was killed left of a sandbox: port elements and the host's side of its interfaces. The
/// container's processes must have ended. What is not there is no error, and nor is a port that belongs to another
/// container by now.
#[must_use]
pub fn sweep(plan: &SandboxPlan) -> Vec<Error> {
    let SandboxPlan::Own { endpoints, ports, table, .. } = plan else { return Vec::new() };
    let swept = [sweep_ports(table, ports), Rtnl::open().and_then(|host| interfaces::remove(&host, endpoints))];
    swept.into_iter().filter_map(Result::err).collect()
}

fn sweep_ports(table: &str, ports: &[PortPlan]) -> Result<()> {
    if ports.is_empty() {
        return Ok(());
    }
    let firewall = Firewall::open(table);
    let mut left = firewall.list_published()?;
    left.retain(|port| ports.contains(port));
    firewall.unpublish(&left)
}

impl Own {
    fn create(
        blank: Option<Blank>,
        endpoints: &[EndpointPlan],
        sysctls: &[(String, String)],
        held: Vec<Held>,
    ) -> Result<Self> {
        let Blank { namespace, inside } = blank.map_or_else(Blank::new, Ok)?;
        let entered = Entered::enter(namespace.as_fd())?;
        let waiting = interfaces::set_parameters(endpoints, sysctls)?;
        entered.leave()?;
        Ok(Own { namespace, inside, waiting, held, firewall: None, linked: false })
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
