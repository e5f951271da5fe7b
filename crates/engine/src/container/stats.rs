//! What a running container uses: processes and figures.

use std::collections::BTreeMap;

use wharf_api::container::{
    CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats as ApiStats, ThrottlingData, Top,
};
use wharf_runtime::cgroup::{Group, Stats};
use wharf_types::{Error, Id, Result, ResultExt};

use super::Containers;
use super::snapshot::Snapshot;

/// Columns of `ps -ef`.
const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
/// Clock ticks per second in /proc (USER_HZ, fixed in the kernel's ABI).
const TICKS: u64 = 100;

impl Containers {
    /// The processes of a running container, as `ps -ef` on the host shows them.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `NotImplemented` for other arguments of ps than `-ef`.
    pub async fn top(&self, name: &str, arguments: &str) -> Result<Top> {
        let snapshot = self.running(name)?;
        if !matches!(arguments.trim(), "" | "-ef" | "ef") {
            return Err(
                Error::not_implemented(format!("ps arguments {arguments:?} are not there yet")).with_hint("use -ef")
            );
        }
        let path = self.cgroup(&snapshot);
        crate::blocking(move || {
            let pids = Group::open(&path)?.pids()?;
            // One that ends in the middle of it is not shown.
            let processes = pids.into_iter().filter_map(|pid| process(pid).ok()).collect();
            Ok(Top { titles: TITLES.map(str::to_owned).to_vec(), processes })
        })
        .await
    }

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

    fn running(&self, name: &str) -> Result<Snapshot> {
        let snapshot = self.find(name)?;
        match snapshot.state.running() {
            Some(_) => Ok(snapshot),
            None => Err(Error::conflict(format!("container {} is not running", snapshot.record.id))),
        }
    }

    fn cgroup(&self, snapshot: &Snapshot) -> String {
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

/// One line of `ps -ef`.
fn process(pid: i32) -> Result<Vec<String>> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).context("the process has ended");
    let (stat, status) = (read("stat")?, read("status")?);
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().next());
    let uid = uid.unwrap_or("0").parse().unwrap_or(0);
    // The program's name stands in parentheses and may contain anything.
    let (front, rest) = stat.rsplit_once(')').unwrap_or(("", &stat));
    let comm = front.split_once('(').map_or("", |(_, comm)| comm);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    let seconds = (number(11) + number(12)) / TICKS;
    let arguments = read("cmdline")?.split('\0').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    Ok(vec![
        user_name(uid),
        pid.to_string(),
        number(1).to_string(),
        "0".into(),
        start_time(number(19)),
        terminal(number(4)),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        if arguments.is_empty() { format!("[{comm}]") } else { arguments },
    ])
}

fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then_some(name)
    };
    passwd.lines().find_map(of).unwrap_or_else(|| uid.to_string())
}

/// `HH:MM`, UTC, of a start given in ticks since boot.
fn start_time(ticks: u64) -> String {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up: f64 = uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let age = jiff::SignedDuration::from_secs_f64((up - ticks as f64 / TICKS as f64).max(0.0));
    let started = jiff::Timestamp::now().checked_sub(age);
    started.map_or_else(|_| "?".into(), |started| started.strftime("%H:%M").to_string())
}

/// `?`, `pts/N` or `ttyN` of a device number (proc(5), tty_nr).
fn terminal(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => "?".into(),
    }
}
