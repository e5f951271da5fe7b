//! `stats`: what containers use, now and as it changes.

use clap::Args;
use wharf_api::container::{BlkioEntry, Stats};
use wharf_client::{Client, ContainerListOptions, JsonLines};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, short_id, size};

/// What `stats` takes.
#[derive(Debug, Args)]
pub struct StatsFlags {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show the present state once
    #[arg(long)]
    no_stream: bool,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    StatsFlags, stats,
    names: &["container stats", "stats"],
    about: "Show what containers use, as it changes",
    usage: "[OPTIONS] [CONTAINER...]",
    arity: Arity::AtLeast(0),
}

const KIND: Kind = Kind {
    name: "statsContext",
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    headings: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

/// Moves the cursor home and clears what follows.
const CLEAR: &str = "\x1b[H\x1b[J";

async fn stats(app: &App, flags: StatsFlags) -> Outcome {
    let format = Format::parse(&app.format(flags.format.as_deref(), "statsFormat")?, &KIND)?;
    let client = app.client().await?;
    let names = names(client, &flags).await?;
    if flags.no_stream {
        let mut rows = Vec::new();
        for name in &names {
            let stats = client.container_stats(name, false).await?;
            rows.push(row(name, Some(&stats), flags.no_trunc));
        }
        output::out(&format.render(&KIND, rows)?)?;
        return Ok(0);
    }
    stream(client, &names, &format, flags.no_trunc).await
}

async fn names(client: &Client, flags: &StatsFlags) -> Outcome<Vec<String>> {
    if !flags.containers.is_empty() {
        return Ok(flags.containers.clone());
    }
    let options = ContainerListOptions { all: flags.all, ..ContainerListOptions::default() };
    Ok(client.container_list(&options).await?.into_iter().map(|container| container.id).collect())
}

/// One line per container, drawn anew each second, until the last one ends.
async fn stream(client: &Client, names: &[String], format: &Format, full: bool) -> Outcome {
    let mut streams: Vec<Option<JsonLines<Stats>>> = Vec::new();
    for name in names {
        streams.push(Some(client.container_stats_stream(name).await?));
    }
    if streams.is_empty() {
        return Err(Failure::new("no container runs").with_hint("--all shows the others as well"));
    }
    while streams.iter().any(Option::is_some) {
        let mut rows = Vec::new();
        for (name, slot) in names.iter().zip(&mut streams) {
            let next = match slot {
                Some(lines) => lines.next().await,
                None => None,
            };
            let stats = next.transpose()?;
            if stats.is_none() {
                *slot = None;
            }
            rows.push(row(name, stats.as_ref(), full));
        }
        let text = format.render(&KIND, rows)?;
        output::out(&if output::is_terminal() { format!("{CLEAR}{text}") } else { text })?;
    }
    Ok(0)
}

fn row(name: &str, stats: Option<&Stats>, full: bool) -> Row {
    let Some(stats) = stats else {
        let row = Row::new().with("Container", name).with("ID", "--").with("Name", "--").with("CPUPerc", "--");
        let row = row.with("MemUsage", "-- / --").with("MemPerc", "--").with("NetIO", "--");
        return row.with("BlockIO", "--").with("PIDs", "--");
    };
    let (used, limit) = memory(stats);
    let share = if limit > 0.0 { used / limit * 100.0 } else { 0.0 };
    let (received, sent) = network(stats);
    let (read, written) = block(stats);
    Row::new()
        .with("Container", name)
        .with("ID", if full { stats.id.clone() } else { short_id(&stats.id) })
        .with("Name", stats.name.trim_start_matches('/'))
        .with("CPUPerc", format!("{:.2}%", cpu(stats)))
        .with("MemUsage", format!("{} / {}", size::binary(used), size::binary(limit)))
        .with("MemPerc", format!("{share:.2}%"))
        .with("NetIO", format!("{} / {}", size::decimal3(received), size::decimal3(sent)))
        .with("BlockIO", format!("{} / {}", size::decimal3(read), size::decimal3(written)))
        .with("PIDs", stats.pids_stats.current.unwrap_or(0).to_string())
}

/// Per cent of one processor since the sample before.
#[allow(clippy::cast_precision_loss)] // two decimals are shown
fn cpu(stats: &Stats) -> f64 {
    let used = stats.cpu_stats.cpu_usage.total_usage.saturating_sub(stats.precpu_stats.cpu_usage.total_usage);
    let before = stats.precpu_stats.system_cpu_usage.unwrap_or(0);
    let system = stats.cpu_stats.system_cpu_usage.unwrap_or(0).saturating_sub(before);
    let listed = u32::try_from(stats.cpu_stats.cpu_usage.percpu_usage.len()).unwrap_or(1).max(1);
    let processors = stats.cpu_stats.online_cpus.filter(|n| *n > 0).unwrap_or(listed);
    if system == 0 || before == 0 { 0.0 } else { used as f64 / system as f64 * f64::from(processors) * 100.0 }
}

/// Memory in use without what the kernel could drop at once, and its limit.
#[allow(clippy::cast_precision_loss)] // four digits are shown
fn memory(stats: &Stats) -> (f64, f64) {
    let memory = &stats.memory_stats;
    let usage = memory.usage.unwrap_or(0);
    let inactive = memory.stats.get("total_inactive_file").or_else(|| memory.stats.get("inactive_file")).copied();
    let used = inactive.filter(|inactive| *inactive < usage).map_or(usage, |inactive| usage - inactive);
    (used as f64, memory.limit.unwrap_or(0) as f64)
}

#[allow(clippy::cast_precision_loss)] // three digits are shown
fn network(stats: &Stats) -> (f64, f64) {
    let sum =
        |count: fn(&wharf_api::container::NetworkStats) -> u64| stats.networks.values().map(count).sum::<u64>() as f64;
    (sum(|network| network.rx_bytes), sum(|network| network.tx_bytes))
}

#[allow(clippy::cast_precision_loss)] // three digits are shown
fn block(stats: &Stats) -> (f64, f64) {
    let entries = &stats.blkio_stats.io_service_bytes_recursive;
    let sum = |op: &str| {
        let same = |entry: &&BlkioEntry| entry.op.eq_ignore_ascii_case(op);
        entries.iter().filter(same).map(|entry| entry.value).sum::<u64>() as f64
    };
    (sum("read"), sum("write"))
}
