//! The processes of a container, as ps(1) on the host would show them.
//!
//! What people ask ps for is computed here, from /proc; for the rest the host's ps is asked, as Docker does, where there is
//! one.

use wharf_api::container::Top;
use wharf_runtime::cgroup::Group;
use wharf_types::{Error, Result, ResultExt};

use super::Containers;

/// Clock ticks per second in /proc (USER_HZ, fixed in the kernel's ABI).
const TICKS: u64 = 100;
/// Columns of `ps -ef`.
const FULL: [&str; 8] = ["user=UID", "pid", "ppid", "c", "stime", "tty", "time", "args=CMD"];
/// Columns of `ps aux`.
const BSD: [&str; 11] =
    ["user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "bsdtime=TIME", "args=COMMAND"];

impl Containers {
    /// The processes of a running container.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `InvalidParameter` for arguments without a column `pid`, in Docker's words;
    /// `NotImplemented` for arguments that need the host's ps where there is none.
    pub async fn top(&self, name: &str, arguments: &str) -> Result<Top> {
        let snapshot = self.running(name)?;
        let (path, arguments) = (self.cgroup(&snapshot), arguments.to_owned());
        crate::blocking(move || {
            let pids = Group::open(&path)?.pids()?;
            match columns(&arguments) {
                Some(columns) => table(&columns, &pids),
                None => by_ps(&arguments, &pids),
            }
        })
        .await
    }
}

/// A column: what it shows, and its title.
type Column = (String, String);

/// The columns that these arguments ask for, as far as they are known here.
fn columns(arguments: &str) -> Option<Vec<Column>> {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let named = |columns: &[&str]| columns.iter().map(|column| column_of(column)).collect();
    match words[..] {
        [] | ["-ef" | "ef" | "-Af"] => return named(&FULL),
        ["aux" | "-aux"] => return named(&BSD),
        _ => {}
    }
    let mut columns = Vec::new();
    let mut rest = words.into_iter();
    while let Some(word) = rest.next() {
        let list = match word {
            "-e" | "-A" | "a" | "x" | "ax" | "-ax" => continue,
            "-o" | "-eo" | "-Ao" | "axo" | "-axo" | "o" | "ao" => rest.next()?,
            word => word.strip_prefix("-o")?,
        };
        for column in list.split(',').filter(|column| !column.is_empty()) {
            columns.push(column_of(column)?);
        }
    }
    Some(columns).filter(|columns| !columns.is_empty())
}

fn column_of(text: &str) -> Option<Column> {
    let (name, title) = text.split_once('=').map_or((text, None), |(name, title)| (name, Some(title)));
    let default = match name {
        "user" | "uname" | "euser" | "ruser" => "USER",
        "uid" | "euid" => "UID",
        "pid" => "PID",
        "ppid" => "PPID",
        "c" => "C",
        "stime" | "start_time" => "STIME",
        "start" => "START",
        "tty" | "tt" | "tname" => "TTY",
        "time" | "cputime" | "bsdtime" => "TIME",
        "etime" => "ELAPSED",
        "args" | "command" => "COMMAND",
        "cmd" => "CMD",
        "comm" | "ucmd" => "COMMAND",
        "%cpu" | "pcpu" => "%CPU",
        "%mem" | "pmem" => "%MEM",
        "vsz" | "vsize" => "VSZ",
        "rss" | "rssize" => "RSS",
        "stat" | "state" | "s" => "STAT",
        "ni" | "nice" => "NI",
        "nlwp" | "thcount" => "NLWP",
        _ => return None,
    };
    Some((name.to_owned(), title.unwrap_or(default).to_owned()))
}

fn table(columns: &[Column], pids: &[i32]) -> Result<Top> {
    if !columns.iter().any(|(name, _)| name == "pid") {
        return Err(no_pid());
    }
    let host = Host::read();
    // One that ends in the middle of it is not shown.
    let found = pids.iter().filter_map(|pid| Found::read(*pid).ok());
    let row = |found: Found| columns.iter().map(|(name, _)| found.column(name, &host)).collect();
    Ok(Top { titles: columns.iter().map(|(_, title)| title.clone()).collect(), processes: found.map(row).collect() })
}

fn no_pid() -> Error {
    Error::invalid("Couldn't find PID field in ps output")
}

/// What all rows need of the host.
struct Host {
    passwd: String,
    uptime: f64,
    memory: u64,
}

impl Host {
    fn read() -> Self {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        Self {
            passwd: std::fs::read_to_string("/etc/passwd").unwrap_or_default(),
            uptime: uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
            memory: crate::system::memory_total().unwrap_or(0),
        }
    }

    fn user(&self, uid: u32) -> String {
        let of = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            (fields.nth(1)?.parse::<u32>().ok()? == uid).then_some(name)
        };
        self.passwd.lines().find_map(of).unwrap_or_else(|| uid.to_string())
    }
}

/// One process, as /proc has it.
struct Found {
    pid: i32,
    comm: String,
    /// The fields of `stat` after the name; the state is the first.
    fields: Vec<String>,
    uid: u32,
    arguments: String,
}

impl Found {
    fn read(pid: i32) -> Result<Self> {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).context("the process has ended");
        let text = |file: &str| read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (stat, status) = (text("stat")?, text("status")?);
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = uid.and_then(|ids| ids.split_whitespace().nth(1)).and_then(|id| id.parse().ok()).unwrap_or(0);
        // The program's name stands in parentheses and may contain anything.
        let (front, rest) = stat.rsplit_once(')').unwrap_or(("", &stat));
        let comm = front.split_once('(').map_or("", |(_, comm)| comm).to_owned();
        let words: Vec<String> = text("cmdline")?.split('\0').map(str::to_owned).collect();
        let arguments = words.join(" ").trim_end().to_owned();
        let arguments = if arguments.is_empty() { format!("[{comm}]") } else { arguments };
        Ok(Self { pid, comm, fields: rest.split_whitespace().map(str::to_owned).collect(), uid, arguments })
    }

    /// Field 3 of proc(5) is number 0 here.
    fn number(&self, at: usize) -> u64 {
        self.fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0)
    }

    fn column(&self, name: &str, host: &Host) -> String {
        let seconds = (self.number(11) + self.number(12)) / TICKS;
        let age = (host.uptime - self.number(19) as f64 / TICKS as f64).max(0.0);
        let share = if age > 0.0 { seconds as f64 * 100.0 / age } else { 0.0 };
        let rss = self.number(21) * 4;
        match name {
            "user" | "uname" | "euser" | "ruser" => host.user(self.uid),
            "uid" | "euid" => self.uid.to_string(),
            "pid" => self.pid.to_string(),
            "ppid" => self.number(1).to_string(),
            "c" => format!("{share:.0}"),
            "stime" | "start_time" | "start" => started(age),
            "tty" | "tt" | "tname" => terminal(self.number(4)),
            "time" | "cputime" => clock(seconds),
            "bsdtime" => format!("{}:{:02}", seconds / 60, seconds % 60),
            "etime" => elapsed(age as u64),
            "comm" | "ucmd" => self.comm.clone(),
            "%cpu" | "pcpu" => format!("{share:.1}"),
            "%mem" | "pmem" => format!("{:.1}", rss as f64 * 102_400.0 / (host.memory.max(1) as f64)),
            "vsz" | "vsize" => (self.number(20) / 1024).to_string(),
            "rss" | "rssize" => rss.to_string(),
            "stat" => self.state(),
            "state" | "s" => self.fields.first().cloned().unwrap_or_default(),
            "ni" | "nice" => self.fields.get(16).cloned().unwrap_or_default(),
            "nlwp" | "thcount" => self.number(17).to_string(),
            _ => self.arguments.clone(),
        }
    }

    /// The state with what ps appends: priority, session leader, threads, foreground.
    fn state(&self) -> String {
        let mut state = self.fields.first().cloned().unwrap_or_default();
        match self.fields.get(16).and_then(|nice| nice.parse::<i32>().ok()) {
            Some(..=-1) => state.push('<'),
            Some(1..) => state.push('N'),
            _ => {}
        }
        if self.number(3) == u64::from(self.pid.unsigned_abs()) {
            state.push('s');
        }
        if self.number(17) > 1 {
            state.push('l');
        }
        if self.number(2) == self.number(5) {
            state.push('+');
        }
        state
    }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `[[days-]hours:]minutes:seconds`.
fn elapsed(seconds: u64) -> String {
    match (seconds / 86400, seconds / 3600 % 24) {
        (0, 0) => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        (0, _) => clock(seconds),
        (days, hours) => format!("{days}-{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// `HH:MM`, UTC, of a start so many seconds ago.
fn started(age: f64) -> String {
    let started = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_secs_f64(age));
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

/// Asks the host's ps and keeps the lines of the container's processes.
fn by_ps(arguments: &str, pids: &[i32]) -> Result<Top> {
    let output = std::process::Command::new("ps").args(arguments.split_whitespace()).output();
    let output = output.map_err(|error| {
        Error::not_implemented(format!("ps arguments {arguments:?} need a ps on the host"))
            .with_hint("use -ef, aux, or -o with columns such as pid,user,time,args")
            .caused_by(error)
    })?;
    if !output.status.success() {
        return Err(Error::invalid(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    filtered(&String::from_utf8_lossy(&output.stdout), pids)
}

fn filtered(text: &str, pids: &[i32]) -> Result<Top> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let at = titles.iter().position(|title| title == "PID").ok_or_else(no_pid)?;
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pid: i32 = words.get(at)?.parse().ok()?;
        // The last column may contain spaces.
        let last = titles.len().min(words.len()) - 1;
        let mut row: Vec<String> = words[..last].iter().map(|word| (*word).to_owned()).collect();
        row.push(words[last..].join(" "));
        pids.contains(&pid).then_some(row)
    };
    let processes = lines.filter_map(row).collect();
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(arguments: &str) -> Option<String> {
        let columns = columns(arguments)?;
        Some(columns.iter().map(|(_, title)| title.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn arguments_name_columns() {
        assert_eq!(titles("").unwrap(), "UID PID PPID C STIME TTY TIME CMD");
        assert_eq!(titles("aux").unwrap(), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(titles("-eo pid,user=WHO,comm").unwrap(), "PID WHO COMMAND");
        assert_eq!(titles("-opid,args").unwrap(), "PID COMMAND");
        assert_eq!(titles("-eo pid,wchan"), None);
        assert_eq!(titles("--forest"), None);
    }

    #[test]
    fn this_process_is_found() {
        let pid = std::process::id() as i32;
        let top = table(&columns("-o pid,state,nlwp,args").unwrap(), &[pid, i32::MAX]).unwrap();
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0][0], pid.to_string());
        assert!(table(&columns("-o args").unwrap(), &[pid]).is_err());
    }

    #[test]
    fn lines_of_other_processes_are_left_out() {
        let top = filtered("  PID ARGS\n    1 init\n   22 sh -c  x\n", &[22]).unwrap();
        assert_eq!(
            (top.titles, top.processes),
            (vec!["PID".into(), "ARGS".into()], vec![vec!["22".into(), "sh -c x".into()]])
        );
    }
}
