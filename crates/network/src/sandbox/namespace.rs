//! Network namespaces of the calling thread.

use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use wharf_types::{Result, ResultExt};

/// The calling thread is inside a namespace; [`Entered::leave`], or dropping this, brings it back.
#[derive(Debug)]
pub struct Entered {
    home: Option<OwnedFd>,
    /// Namespaces belong to the thread, so the guard must not move to another.
    not_send: PhantomData<*const ()>,
}

impl Entered {
    /// A guard that changes nothing.
    pub(super) fn nowhere() -> Self {
        Self { home: None, not_send: PhantomData }
    }

    /// Moves into the namespace.
    pub(super) fn enter(namespace: BorrowedFd<'_>) -> Result<Self> {
        let home = current()?;
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .map_err(std::io::Error::from)
            .context("cannot enter the network namespace")?;
        Ok(Self { home: Some(home), not_send: PhantomData })
    }

    /// Moves into a new namespace.
    pub(super) fn unshare() -> Result<Self> {
        let home = current()?;
        unshare(CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from).context("cannot create a network namespace")?;
        Ok(Self { home: Some(home), not_send: PhantomData })
    }

    /// Goes back to the namespace the thread came from.
    ///
    /// # Errors
    /// `System` when the kernel refuses; the thread is then still inside.
    pub fn leave(mut self) -> Result<()> {
        self.go_home()
    }

    fn go_home(&mut self) -> Result<()> {
        let Some(home) = self.home.take() else { return Ok(()) };
        setns(home.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(std::io::Error::from)
            .context("cannot go back to the host's network namespace")
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Cannot fail for a namespace that this thread was in a moment ago; whoever wants certainty calls leave.
        let _ = self.go_home();
    }
}

/// The namespace that the calling thread is in.
pub(super) fn current() -> Result<OwnedFd> {
    open(Path::new("/proc/thread-self/ns/net"))
}

/// The namespace that a file of /proc or a bind mount stands for.
pub(super) fn open(path: &Path) -> Result<OwnedFd> {
    let file = File::open(path).with_context(|| format!("cannot open the network namespace {}", path.display()))?;
    Ok(file.into())
}
