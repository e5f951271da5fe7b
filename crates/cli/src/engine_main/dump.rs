//! What the engine is doing, written into a file on SIGUSR1: for people who wonder why something hangs.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wharf_engine::Engine;
use wharf_engine::container::ListOptions;
use wharf_types::{Result, ResultExt};

/// Writes it into the run folder and gives the file.
pub async fn write(engine: &Engine, run: &Path) -> Result<PathBuf> {
    let time = jiff::Timestamp::now();
    let path = run.join(format!("engine-dump-{}.json", time.as_second()));
    let containers = engine.containers().list(ListOptions { all: true, ..ListOptions::default() }).await;
    let containers = match containers {
        Ok(list) => {
            list.iter().map(|c| json!({"Id": c.id, "Names": c.names, "State": c.state, "Status": c.status})).collect()
        }
        Err(error) => vec![json!({"error": error.chain()})],
    };
    let tasks = tokio::runtime::Handle::current().metrics();
    let document = json!({
        "time": time.to_string(),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "engine": engine.id(),
        "tasks": {"alive": tasks.num_alive_tasks(), "workers": tasks.num_workers(), "queued": tasks.global_queue_depth()},
        "threads": threads(),
        "memory": lines("/proc/self/status", &["VmRSS", "VmHWM", "VmSize"]),
        "descriptors": descriptors(),
        "containers": containers,
    });
    let text = serde_json::to_vec_pretty(&document).map_err(std::io::Error::from)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Each thread with its name and what it waits for in the kernel (proc(5)).
fn threads() -> Vec<Value> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let thread = |entry: std::fs::DirEntry| {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default().trim().to_owned();
        json!({"id": entry.file_name().to_string_lossy(), "name": read("comm"), "waits": read("wchan"), "call": read("syscall"), "stack": read("stack")})
    };
    tasks.filter_map(std::io::Result::ok).map(thread).collect()
}

/// How many descriptors there are of each kind.
fn descriptors() -> Value {
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for entry in std::fs::read_dir("/proc/self/fd").into_iter().flatten().filter_map(std::io::Result::ok) {
        // One that has been closed meanwhile is none.
        let Ok(target) = std::fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        let kind = target.split_once(':').map_or("file", |(kind, _)| kind);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    json!(kinds)
}

fn lines(path: &str, names: &[&str]) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| names.contains(name));
    pairs.map(|(name, value)| (name.to_owned(), Value::from(value.trim()))).collect::<serde_json::Map<_, _>>().into()
}
