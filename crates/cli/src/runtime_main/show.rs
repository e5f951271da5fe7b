//! The commands that only tell.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_runtime::cgroup::Stats;
use wharf_runtime::oci::state::Record;
use wharf_runtime::oci::{Status, template};
use wharf_types::{Error, Result, ResultExt};

use super::Globals;
use super::words::Words;
use crate::output;

fn say(text: &str) -> Result<u8> {
    output::out(text).map(|()| 0).map_err(|_| Error::system("cannot write to standard output"))
}

/// A document, for people.
pub fn document(value: &Value) -> Result<u8> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    say(&format!("{text}\n"))
}

fn described(record: &Record, status: Status) -> Value {
    let mut state = record.state(status);
    state["pid"] = if status == Status::Stopped { 0 } else { record.pid }.into();
    state["rootfs"] = record.root().display().to_string().into();
    state["created"] = record.created.clone().into();
    state["owner"] = "".into();
    state
}

pub fn state(globals: &Globals, words: &Words) -> Result<u8> {
    let (record, status) = globals.store.look(words.id()?)?;
    document(&described(&record, status))
}

pub fn list(globals: &Globals, words: &Words) -> Result<u8> {
    let all = globals.store.list()?;
    if words.is_on("quiet") {
        return say(&all.iter().map(|(record, _)| format!("{}\n", record.id)).collect::<String>());
    }
    match words.value("format").unwrap_or("table") {
        "json" => {
            let all: Vec<Value> = all.iter().map(|(record, status)| described(record, *status)).collect();
            say(&format!("{}\n", Value::from(all)))
        }
        "table" => {
            let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned).to_vec();
            let row = |(record, status): &(Record, Status)| {
                let pid = if *status == Status::Stopped { 0 } else { record.pid };
                let owner = std::fs::metadata(&record.bundle).map_or(0, |bundle| bundle.uid());
                let bundle = record.bundle.display().to_string();
                let (status, owner) =
                    (status.as_str().to_owned(), if owner == 0 { "root".into() } else { format!("#{owner}") });
                vec![record.id.clone(), pid.to_string(), status, bundle, record.created.clone(), owner]
            };
            let rows: Vec<Vec<String>> = std::iter::once(head).chain(all.iter().map(row)).collect();
            say(&columns(&rows))
        }
        other => Err(Error::invalid(format!("invalid format option: {other}"))),
    }
}

fn columns(rows: &[Vec<String>]) -> String {
    let width = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(String::len).max().unwrap_or(0) + 3;
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(index, cell)| format!("{cell:<width$}", width = width(index)));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

pub fn ps(globals: &Globals, words: &Words) -> Result<u8> {
    let container = globals.store.open(words.id()?)?;
    let pids = container.group()?.pids()?;
    match words.value("format").unwrap_or("table") {
        "json" => say(&format!("{}\n", Value::from(pids))),
        "table" => {
            let head = ["UID", "PID", "PPID", "STIME", "CMD"].map(str::to_owned).to_vec();
            let rows: Vec<_> = std::iter::once(head).chain(pids.iter().filter_map(|pid| process_row(*pid))).collect();
            say(&columns(&rows))
        }
        other => Err(Error::invalid(format!("invalid format option: {other}"))),
    }
}

/// `None` for a process that has ended meanwhile.
fn process_row(pid: i32) -> Option<Vec<String>> {
    let folder = Path::new("/proc").join(pid.to_string());
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned()
    };
    let words = std::fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned();
    let command = if command.is_empty() { format!("[{}]", field("Name")) } else { command };
    let since = std::fs::metadata(&folder).ok()?.ctime();
    let since = jiff::Timestamp::from_second(since).ok()?.strftime("%H:%M").to_string();
    Some(vec![field("Uid"), pid.to_string(), field("PPid"), since, command])
}

pub fn spec(words: &Words) -> Result<u8> {
    if words.is_on("rootless") {
        return Err(Error::not_implemented("spec --rootless is not supported"));
    }
    let path = Path::new(words.value("bundle").unwrap_or(".")).join("config.json");
    let text = serde_json::to_string_pretty(&template::template()).map_err(std::io::Error::from)?;
    let file = std::fs::File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
    std::io::Write::write_all(&mut { file }, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(0)
}

/// Figures now and then, and each time the out-of-memory killer struck, until the container has ended.
pub fn events(globals: &Globals, words: &Words) -> Result<u8> {
    let id = words.id()?;
    let once = words.is_on("stats");
    let interval = words.value("interval").map_or(Ok(Duration::from_secs(5)), interval)?;
    let mut kills = 0;
    loop {
        let (record, status) = globals.store.look(id)?;
        if status == Status::Stopped {
            return if once { Err(Error::conflict(format!("container {id} is not running"))) } else { Ok(0) };
        }
        let stats = wharf_runtime::cgroup::Group::open(&record.cgroup)?.stats()?;
        if stats.oom_kills > std::mem::replace(&mut kills, stats.oom_kills) && !once {
            say(&format!("{}\n", json!({ "type": "oom", "id": id })))?;
        }
        say(&format!("{}\n", json!({ "type": "stats", "id": id, "data": figures(&stats) })))?;
        if once {
            return Ok(0);
        }
        std::thread::sleep(interval);
    }
}

/// A time such as `500ms`, `5s` or `1m`.
fn interval(text: &str) -> Result<Duration> {
    let invalid = || Error::invalid(format!("invalid duration {text:?}"));
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| invalid())?;
    let duration = match &text[digits..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(60 * number),
        _ => return Err(invalid()),
    };
    if duration.is_zero() { Err(Error::invalid("duration interval must be greater than 0")) } else { Ok(duration) }
}

fn figures(stats: &Stats) -> Value {
    let blocks = |rows: &[(u64, u64, String, u64)]| -> Vec<Value> {
        let row = |(major, minor, operation, value): &(u64, u64, String, u64)| json!({ "major": major, "minor": minor, "op": operation, "value": value });
        rows.iter().map(row).collect()
    };
    let raw: BTreeMap<&str, u64> = stats.memory_stat.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (periods, throttled, throttled_time) = stats.cpu_throttling.unwrap_or_default();
    json!({
        "cpu": {
            "usage": {
                "total": stats.cpu_usage, "percpu": stats.cpu_per_processor,
                "kernel": stats.cpu_system, "user": stats.cpu_user
            },
            "throttling": { "periods": periods, "throttledPeriods": throttled, "throttledTime": throttled_time }
        },
        "memory": {
            "usage": {
                "usage": stats.memory_usage, "max": stats.memory_peak, "limit": stats.memory_limit,
                "failcnt": stats.memory_failures
            },
            "raw": raw
        },
        "pids": { "current": stats.pids_current, "limit": stats.pids_limit },
        "blkio": {
            "ioServiceBytesRecursive": blocks(&stats.io_bytes),
            "ioServicedRecursive": blocks(&stats.io_operations)
        }
    })
}
