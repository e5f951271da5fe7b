//! What a running container uses.

use std::collections::BTreeMap;

use wharf_api::container::{
    CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats as ApiStats, ThrottlingData,
};
use wharf_runtime::cgroup::{Group, Stats};
use wharf_types::{Error, Id, Result, ResultExt};

use super::Containers;
use super::snapshot::Snapshot;

/// Clock ticks per second in /proc (USER_HZ, fixed in the kernel's ABI).
const TICKS: u64 = 100;

impl Containers {
    /// A container's figures at this moment. `previous` fills the fields that stand for the reading before.
    pub async fn stats(&self, name: &str, previous: Option<&ApiStats>) -> Result<ApiStats> {
        let snapshot = self.find(name)?;
        let mut stats = match snapshot.state.running().map(|running| running.pid) {
            Some(pid) => {
                let path = self.cgroup(&snapshot);
                crate::blocking(move || read(&path, pid)).await?
            }
            None => ApiStats::default(),
        };
        stats.id = snapshot.record.id.to_string();
        stats.name = format!("/{}", snapshot.record.name);
        stats.read = crate::time::now();
        stats.preread = previous.map_or_else(|| crate::time::NEVER.to_owned(), |previous| previous.read.clone());
        if let Some(previous) = previous {
            stats.precpu_stats = previous.cpu_stats.clone();
        }
        Ok(stats)
    }

    pub(super) fn running(&self, name: &str) -> Result<Snapshot> {
        let snapshot = self.find(name)?;
        match snapshot.state.running() {
            Some(_) => Ok(snapshot),
            None => Err(Error::conflict(format!("container {} is not running", snapshot.record.id))),
        }
    }

    pub(super) fn cgroup(&self, snapshot: &Snapshot) -> String {
        let id: Id = snapshot.record.id;
        self.services.cgroup_of(snapshot.record.cgroup_parent(), id)
    }
}

fn read(cgroup: &str, pid: i32) -> Result<ApiStats> {
    let figures = Group::open(cgroup)?.stats()?;
    let number = |value: Option<u64>| value.unwrap_or(0);
    Ok(ApiStats {
        pids_stats: PidsStats { current: figures.pids_current, limit: figures.pids_limit },
        cpu_stats: cpu(&figures)?,
        memory_stats: MemoryStats {
            usage: figures.memory_usage,
            max_usage: figures.memory_peak,
            stats: figures.memory_stat.iter().cloned().collect(),
            limit: Some(figures.memory_limit.unwrap_or(number(host_memory().ok()))),
            ..MemoryStats::default()
        },
        networks: interfaces(pid)?,
        ..ApiStats::default()
    })
}

fn cpu(figures: &Stats) -> Result<CpuStats> {
    let online = std::thread::available_parallelism().map_or(1, |count| count.get());
    let (periods, throttled_periods, throttled_time) = figures.cpu_throttling.unwrap_or_default();
    Ok(CpuStats {
        cpu_usage: CpuUsage {
            total_usage: figures.cpu_usage.unwrap_or(0),
            percpu_usage: figures.cpu_per_processor.clone(),
            usage_in_kernelmode: figures.cpu_system.unwrap_or(0),
            usage_in_usermode: figures.cpu_user.unwrap_or(0),
        },
        system_cpu_usage: Some(host_cpu()?),
        online_cpus: u32::try_from(online).ok(),
        throttling_data: ThrottlingData { periods, throttled_periods, throttled_time },
    })
}

/// CPU time of the whole host in nanoseconds (the first line of /proc/stat, without guest time).
fn host_cpu() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let ticks: u64 = first.split_whitespace().skip(1).take(7).filter_map(|word| word.parse::<u64>().ok()).sum();
    Ok(ticks * (1_000_000_000 / TICKS))
}

fn host_memory() -> Result<u64> {
    crate::system::memory_total()
}

/// Counters of all interfaces but loopback, as the container's own /proc/net/dev has them.
fn interfaces(pid: i32) -> Result<BTreeMap<String, NetworkStats>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).context("the container has just ended")?;
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let n: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
            &n[..]
        else {
            return None;
        };
        let stats =
            NetworkStats { rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped };
        Some((name.trim().to_owned(), stats)).filter(|(name, _)| name != "lo")
    };
    Ok(text.lines().filter_map(line).collect())
}
