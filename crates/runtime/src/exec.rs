//! Further processes in a running container.

use std::os::fd::BorrowedFd;

use wharf_types::{Error, Result};

use crate::spec::Process;
use crate::{Child, Stdio, cgroup::Group};

/// Runs a process in the container whose init is behind `init` (a pidfd), in all its namespaces and its cgroup.
///
/// Returns when the program has been executed, or with the reason why it could not; then nothing is left.
pub fn spawn(_init: BorrowedFd<'_>, _process: &Process, _stdio: Stdio, _cgroup: &Group) -> Result<Child> {
    Err(Error::not_implemented("exec"))
}
