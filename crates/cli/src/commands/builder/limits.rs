//! Limits of build steps, which the classic builder had: accepted, and said to have no effect.

use clap::Args;

/// What scripts may still say, as with BuildKit.
#[derive(Debug, Default, Args)]
pub struct LimitFlags {
    /// Cgroup of the steps
    #[arg(long, value_name = "string", hide = true)]
    cgroup_parent: Option<String>,
    /// Period of the processor quota
    #[arg(long, value_name = "int", hide = true)]
    cpu_period: Option<i64>,
    /// Processor quota
    #[arg(long, value_name = "int", hide = true)]
    cpu_quota: Option<i64>,
    /// Share of the processors
    #[arg(short, long, value_name = "int", hide = true)]
    cpu_shares: Option<i64>,
    /// Processors to use
    #[arg(long, value_name = "string", hide = true)]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "string", hide = true)]
    cpuset_mems: Option<String>,
    /// Isolation technology
    #[arg(long, value_name = "string", hide = true)]
    isolation: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", hide = true)]
    memory: Option<String>,
    /// Limit of memory and swap
    #[arg(long, value_name = "bytes", hide = true)]
    memory_swap: Option<String>,
    /// Security options
    #[arg(long, value_name = "stringSlice", hide = true)]
    security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", hide = true)]
    shm_size: Option<String>,
    /// One layer for all new ones
    #[arg(long, hide = true)]
    squash: bool,
    /// Limits of processes
    #[arg(long, value_name = "ulimit", hide = true)]
    ulimit: Vec<String>,
}

impl LimitFlags {
    /// The names of those that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--cgroup-parent", self.cgroup_parent.is_some()),
            ("--cpu-period", self.cpu_period.is_some()),
            ("--cpu-quota", self.cpu_quota.is_some()),
            ("--cpu-shares", self.cpu_shares.is_some()),
            ("--cpuset-cpus", self.cpuset_cpus.is_some()),
            ("--cpuset-mems", self.cpuset_mems.is_some()),
            ("--isolation", self.isolation.is_some()),
            ("--memory", self.memory.is_some()),
            ("--memory-swap", self.memory_swap.is_some()),
            ("--security-opt", !self.security_opt.is_empty()),
            ("--shm-size", self.shm_size.is_some()),
            ("--squash", self.squash),
            ("--ulimit", !self.ulimit.is_empty()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
