//! Control groups, version 1 and 2.

use crate::spec::{Cgroup, Resources};
use wharf_types::{Error, Result};

/// A container's cgroup: one folder on version 2, one per hierarchy on version 1.
#[derive(Debug, Clone)]
pub struct Group {
    path: String,
}

/// Raw figures of a [`Group`]; absent where the controller is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in use in bytes, page cache included.
    pub memory_usage: Option<u64>,
    /// The highest use so far in bytes.
    pub memory_peak: Option<u64>,
    /// The limit in bytes; `None` is unlimited.
    pub memory_limit: Option<u64>,
    /// The lines of memory.stat.
    pub memory_stat: Vec<(String, u64)>,
    /// CPU time in nanoseconds.
    pub cpu_usage: Option<u64>,
    /// CPU time in the kernel in nanoseconds.
    pub cpu_system: Option<u64>,
    /// CPU time outside the kernel in nanoseconds.
    pub cpu_user: Option<u64>,
    /// CPU time per processor in nanoseconds (v1 only).
    pub cpu_per_processor: Vec<u64>,
    /// Elapsed periods, throttled periods, throttled nanoseconds.
    pub cpu_throttling: Option<(u64, u64, u64)>,
    /// Processes and threads.
    pub pids_current: Option<u64>,
    /// Their limit; `None` is unlimited.
    pub pids_limit: Option<u64>,
    /// Bytes moved: (major, minor, operation `read`|`write`|..., bytes).
    pub io_bytes: Vec<(u64, u64, String, u64)>,
    /// Operations: (major, minor, operation, count).
    pub io_operations: Vec<(u64, u64, String, u64)>,
    /// How many processes the out-of-memory killer ended.
    pub oom_kills: u64,
}

impl Group {
    /// Makes the cgroup with its limits. Fails with a conflict where one of that path holds processes.
    pub fn create(_cgroup: &Cgroup) -> Result<Self> {
        Err(Error::not_implemented("cgroups"))
    }

    /// An existing one, by its path below every hierarchy's root.
    pub fn open(path: &str) -> Result<Self> {
        Ok(Self { path: path.to_owned() })
    }

    /// The path below every hierarchy's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Moves a process into it. Slow on version 1: [`crate::Starting`] and [`crate::exec`] let the process join by itself.
    pub fn join(&self, _pid: i32) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Changes the limits that are given.
    pub fn update(&self, _resources: &Resources) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Stops all processes, and returns when they stand.
    pub fn freeze(&self) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Kills every process in it.
    pub fn kill_all(&self) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }

    /// How many processes the out-of-memory killer ended.
    pub fn oom_kills(&self) -> Result<u64> {
        Err(Error::not_implemented("cgroups"))
    }

    /// The processes in it, cgroups below included, in the caller's PID namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Its figures.
    pub fn stats(&self) -> Result<Stats> {
        Err(Error::not_implemented("cgroups"))
    }

    /// Removes it and the cgroups below. That it is gone already is no error; goes on past errors and reports them all.
    pub fn remove(&self) -> Result<()> {
        Err(Error::not_implemented("cgroups"))
    }
}
