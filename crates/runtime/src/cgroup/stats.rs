//! What a cgroup has used.

use std::io;
use std::path::{Path, PathBuf};

use super::files;
use super::layout::Hierarchy;

/// Version 1 says "unlimited" by a number of this size or above.
const UNLIMITED: u64 = 1 << 62;

/// Raw figures of a [`super::Group`]; absent where the controller is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Memory in use in bytes, page cache included.
    pub memory_usage: Option<u64>,
    /// The highest use so far in bytes.
    pub memory_peak: Option<u64>,
    /// The limit in bytes; `None` is unlimited.
    pub memory_limit: Option<u64>,
    /// How often the limit was hit.
    pub memory_failures: u64,
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
    /// Bytes moved: major, minor, operation in lower case (`read`, `write`, `discard`, ...), bytes.
    pub io_bytes: Vec<(u64, u64, String, u64)>,
    /// Operations: major, minor, operation, count.
    pub io_operations: Vec<(u64, u64, String, u64)>,
    /// How many processes the out-of-memory killer ended.
    pub oom_kills: u64,
}

pub(super) fn v1(hierarchies: &[Hierarchy], path: &str) -> io::Result<Stats> {
    let folder = |controller: &str| -> Option<PathBuf> {
        hierarchies.iter().find(|tree| tree.has(controller)).map(|tree| tree.mount.join(path))
    };
    let mut stats = Stats::default();
    if let Some(folder) = folder("memory") {
        stats.memory_usage = files::read_number(&folder.join("memory.usage_in_bytes"))?;
        stats.memory_peak = files::read_number(&folder.join("memory.max_usage_in_bytes"))?;
        let limit = files::read_number(&folder.join("memory.limit_in_bytes"))?;
        stats.memory_limit = limit.filter(|limit| *limit < UNLIMITED);
        stats.memory_failures = files::read_number(&folder.join("memory.failcnt"))?.unwrap_or(0);
        stats.memory_stat = files::read_table(&folder.join("memory.stat"))?;
        stats.oom_kills = files::read_entry(&folder.join("memory.oom_control"), "oom_kill")?.unwrap_or(0);
    }
    if let Some(folder) = folder("cpuacct") {
        stats.cpu_usage = files::read_number(&folder.join("cpuacct.usage"))?;
        stats.cpu_user = files::read_number(&folder.join("cpuacct.usage_user"))?;
        stats.cpu_system = files::read_number(&folder.join("cpuacct.usage_sys"))?;
        let each = files::read_if_there(&folder.join("cpuacct.usage_percpu"))?.unwrap_or_default();
        stats.cpu_per_processor = each.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    }
    if let Some(folder) = folder("cpu") {
        stats.cpu_throttling = throttling(&files::read_table(&folder.join("cpu.stat"))?, "throttled_time", 1);
    }
    if let Some(folder) = folder("blkio") {
        stats.io_bytes = v1_block_io(&folder.join("blkio.throttle.io_service_bytes_recursive"))?;
        stats.io_operations = v1_block_io(&folder.join("blkio.throttle.io_serviced_recursive"))?;
    }
    if let Some(folder) = folder("pids") {
        read_pids(&folder, &mut stats)?;
    }
    Ok(stats)
}

pub(super) fn v2(folder: &Path) -> io::Result<Stats> {
    let mut stats = Stats {
        memory_usage: files::read_number(&folder.join("memory.current"))?,
        memory_peak: files::read_number(&folder.join("memory.peak"))?,
        memory_limit: files::read_number(&folder.join("memory.max"))?,
        memory_stat: files::read_table(&folder.join("memory.stat"))?,
        ..Stats::default()
    };
    let events = files::read_table(&folder.join("memory.events"))?;
    stats.memory_failures = entry(&events, "max").unwrap_or(0);
    stats.oom_kills = entry(&events, "oom_kill").unwrap_or(0);
    let cpu = files::read_table(&folder.join("cpu.stat"))?;
    let nanoseconds = |name| entry(&cpu, name).map(|microseconds| microseconds * 1000);
    stats.cpu_usage = nanoseconds("usage_usec");
    stats.cpu_user = nanoseconds("user_usec");
    stats.cpu_system = nanoseconds("system_usec");
    stats.cpu_throttling = throttling(&cpu, "throttled_usec", 1000);
    read_v2_block_io(&folder.join("io.stat"), &mut stats)?;
    read_pids(folder, &mut stats)?;
    Ok(stats)
}

fn read_pids(folder: &Path, stats: &mut Stats) -> io::Result<()> {
    stats.pids_current = files::read_number(&folder.join("pids.current"))?;
    stats.pids_limit = files::read_number(&folder.join("pids.max"))?;
    Ok(())
}

fn entry(table: &[(String, u64)], name: &str) -> Option<u64> {
    table.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
}

fn throttling(table: &[(String, u64)], time: &str, unit: u64) -> Option<(u64, u64, u64)> {
    Some((entry(table, "nr_periods")?, entry(table, "nr_throttled")?, entry(table, time)? * unit))
}

/// Lines such as `8:0 Read 4096`; the sums at the end have no device.
fn v1_block_io(path: &Path) -> io::Result<Vec<(u64, u64, String, u64)>> {
    let text = files::read_if_there(path)?.unwrap_or_default();
    let row = |line: &str| {
        let mut words = line.split(' ');
        let (major, minor) = device(words.next()?)?;
        Some((major, minor, words.next()?.to_lowercase(), words.next()?.parse().ok()?))
    };
    Ok(text.lines().filter_map(row).collect())
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn read_v2_block_io(path: &Path, stats: &mut Stats) -> io::Result<()> {
    let text = files::read_if_there(path)?.unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let (list, operation) = match name {
                "rbytes" => (&mut stats.io_bytes, "read"),
                "wbytes" => (&mut stats.io_bytes, "write"),
                "dbytes" => (&mut stats.io_bytes, "discard"),
                "rios" => (&mut stats.io_operations, "read"),
                "wios" => (&mut stats.io_operations, "write"),
                "dios" => (&mut stats.io_operations, "discard"),
                _ => continue,
            };
            list.push((major, minor, operation.to_owned(), value));
        }
    }
    Ok(())
}
