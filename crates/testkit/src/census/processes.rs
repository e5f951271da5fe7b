//! Processes that belong to an engine.

use std::fmt;
use std::path::Path;

use super::Marks;

/// A process as /proc shows it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// One letter, `Z` for a zombie.
    pub state: char,
    /// Arguments, joined by spaces; the name in brackets if there are none.
    pub command: String,
    cgroups: String,
    environment: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (parent {}, {}) {}", self.pid, self.parent, self.state, self.command)
    }
}

/// All processes of the machine.
pub fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(&entry.path(), entry.file_name().to_str()?.parse().ok()?))
}

/// Those that bear the engine's marks: its folder in the arguments or the environment, or a cgroup below its own.
/// The caller itself is left out, whatever its arguments are.
pub(super) fn of(marks: &Marks) -> Vec<Process> {
    let folder = marks.folder.display().to_string();
    let cgroup = format!("{}/", marks.cgroup.trim_end_matches('/'));
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let belongs = |process: &Process| {
        process.command.contains(&folder) || process.environment.contains(&folder) || process.cgroups.contains(&cgroup)
    };
    processes().filter(|process| process.pid != own && belongs(process)).collect()
}

/// Engines and monitors of whatever engine.
pub(super) fn of_wharf() -> impl Iterator<Item = Process> {
    processes()
        .filter(|process| process.command.starts_with("wharf-monitor") || process.command.contains("wharf engine "))
}

fn read(folder: &Path, pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name is in parentheses and may hold any character but is the only thing that does (proc(5)).
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let mut rest = rest.split_whitespace();
    let state = rest.next()?.chars().next()?;
    let parent = rest.next()?.parse().ok()?;
    let command = match words(folder, "cmdline") {
        arguments if arguments.is_empty() => format!("[{name}]"),
        arguments => arguments,
    };
    let cgroups = std::fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
    Some(Process { pid, parent, state, command, cgroups, environment: words(folder, "environ") })
}

/// A file of words that end with NUL.
fn words(folder: &Path, file: &str) -> String {
    let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}
