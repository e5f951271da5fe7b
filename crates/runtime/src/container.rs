//! Starting a container in two steps.

use std::os::fd::BorrowedFd;

use wharf_types::{Error, Result};

use crate::spec::ContainerSpec;
use crate::{Child, Stdio, cgroup::Group};

/// A container whose namespaces exist and whose file systems are being mounted. Dropping it undoes everything.
#[derive(Debug)]
pub struct Starting {
    child: Child,
}

/// A running container: its first process and its cgroup.
#[derive(Debug)]
pub struct Init {
    /// Process 1 of the container.
    pub child: Child,
    /// Its cgroup, to be removed when the process has ended.
    pub cgroup: Group,
}

impl Starting {
    /// Clones the container's first process into its namespaces and makes its cgroup, while the child begins to mount.
    pub fn begin(_spec: &ContainerSpec, _stdio: Stdio) -> Result<Self> {
        Err(Error::not_implemented("containers"))
    }

    /// The first process's id in the caller's PID namespace.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Its pidfd.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Lets the program run: the network is ready. Returns when it has been executed, or with the child's error.
    ///
    /// After a failure nothing is left: the child is reaped and the cgroup removed.
    pub fn release(self) -> Result<Init> {
        Err(Error::not_implemented("containers"))
    }
}
