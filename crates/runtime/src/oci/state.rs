//! What is known about containers: a folder each, with `state.json` and, before the start, the socket of the gate.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_types::{Error, Result, ResultExt};

use super::config::Config;
use crate::cgroup::Group;

const STATE: &str = "state.json";
const GATE: &str = "start.sock";

/// Where containers are in their lives (runtime specification, `status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Creating,
    /// Its first process waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// The specification's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What is remembered of a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// Its first process; 0 before there is one.
    pub pid: i32,
    /// When that process started, in the kernel's ticks: another process of the same id has another.
    pub started: u64,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// Its cgroup, below every hierarchy's root.
    pub cgroup: String,
    /// Whether that came from a path of systemd's form.
    #[serde(default)]
    pub systemd_cgroup: bool,
    /// Its bundle's `config.json`, as it was.
    pub config: Config,
}

/// All containers below one folder (`--root`).
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// One container, locked: nobody else changes it meanwhile.
#[derive(Debug)]
pub struct Container {
    folder: PathBuf,
    lock: OwnedFd,
    /// What is remembered of it.
    pub record: Record,
}

impl Store {
    /// The containers below `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn folder(&self, id: &str) -> Result<PathBuf> {
        let fine = |letter: char| letter.is_ascii_alphanumeric() || "_+-.".contains(letter);
        if id.is_empty() || matches!(id, "." | "..") || !id.chars().all(fine) {
            return Err(Error::invalid(format!("invalid container ID format: {id:?}"))
                .with_hint("use letters, digits and any of _+-."));
        }
        Ok(self.root.join(id))
    }

    /// Makes the folder of a new container, and remembers `record`.
    ///
    /// # Errors
    /// `Conflict` when there is one of that id.
    pub fn make(&self, record: Record) -> Result<Container> {
        let folder = self.folder(&record.id)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.root)
            .with_context(|| format!("cannot make {}", self.root.display()))?;
        match fs::DirBuilder::new().mode(0o711).create(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::conflict(format!("container with given ID already exists: {}", record.id)));
            }
            other => other.with_context(|| format!("cannot make {}", folder.display()))?,
        }
        let made = lock(&folder).and_then(|lock| {
            let lock = lock.ok_or_else(|| Error::conflict("the container was removed while it was made"))?;
            let container = Container { folder: folder.clone(), lock, record };
            container.save().map(|()| container)
        });
        made.inspect_err(|_| {
            // The failure to tell is the first.
            let _removed = fs::remove_dir_all(&folder);
        })
    }

    /// The container of that id, locked.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn open(&self, id: &str) -> Result<Container> {
        let folder = self.folder(id)?;
        let missing = || Error::not_found(format!("container does not exist: {id:?}"));
        loop {
            let held = match lock(&folder) {
                Ok(held) => held,
                Err(_) if !folder.exists() => return Err(missing()),
                Err(error) => return Err(error),
            };
            // Without a lock the folder went, and perhaps came back, while it was waited for.
            let Some(lock) = held else { continue };
            let record = read(&folder)?.unwrap_or_else(|| Record { id: id.to_owned(), ..Record::default() });
            return Ok(Container { folder, lock, record });
        }
    }

    /// The container of that id as it is now, without waiting for whoever works on it.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn look(&self, id: &str) -> Result<(Record, Status)> {
        let folder = self.folder(id)?;
        let record = match read(&folder)? {
            Some(record) => record,
            None if folder.exists() => Record { id: id.to_owned(), ..Record::default() },
            None => return Err(Error::not_found(format!("container does not exist: {id:?}"))),
        };
        let status = status(&folder, &record);
        Ok((record, status))
    }

    /// All containers, by id. Those that are damaged are passed over.
    pub fn list(&self) -> Result<Vec<(Record, Status)>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("cannot list {}", self.root.display()))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut all: BTreeMap<String, (Record, Status)> = BTreeMap::new();
        for name in names {
            if let Ok(found) = self.look(&name) {
                all.insert(name, found);
            }
        }
        Ok(all.into_values().collect())
    }
}

/// Locks a container's folder; `None` if it is another one by the time the lock is there.
fn lock(folder: &Path) -> Result<Option<OwnedFd>> {
    let failed = || format!("cannot lock {}", folder.display());
    let file = File::open(folder).with_context(failed)?;
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
        .map_err(std::io::Error::from)
        .with_context(failed)?;
    let held = file.metadata().with_context(failed)?;
    let same = fs::metadata(folder).is_ok_and(|now| (now.dev(), now.ino()) == (held.dev(), held.ino()));
    Ok(same.then(|| file.into()))
}

fn read(folder: &Path) -> Result<Option<Record>> {
    let path = folder.join(STATE);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::corrupt(format!("{} is damaged", path.display())).caused_by(error)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn status(folder: &Path, record: &Record) -> Status {
    if record.pid == 0 {
        let busy =
            File::open(folder).is_ok_and(|folder| flock(&folder, FlockOperation::NonBlockingLockShared).is_err());
        return if busy { Status::Creating } else { Status::Stopped };
    }
    if start_of(record.pid) != Some(record.started) {
        return Status::Stopped;
    }
    if connect_gate(folder).is_ok_and(|gate| gate.is_some()) {
        return Status::Created;
    }
    let frozen = Group::open(&record.cgroup).and_then(|group| group.is_frozen());
    if frozen.unwrap_or(false) { Status::Paused } else { Status::Running }
}

/// When a process started, in the kernel's ticks; `None` if it has ended.
pub(super) fn start_of(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// A connection to whoever waits at the gate; `None` if nobody does.
fn connect_gate(folder: &Path) -> Result<Option<OwnedFd>> {
    let held = File::open(folder).context("cannot open the container's folder")?;
    let address = address(&held)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(std::io::Error::from)
        .context("cannot make a socket")?;
    match connect(&socket, &address) {
        Ok(()) => Ok(Some(socket)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(std::io::Error::from(error)).context("cannot reach the container's first process"),
    }
}

/// Through the folder's descriptor: a socket's path has room for 107 bytes only.
fn address(folder: impl AsFd) -> Result<SocketAddrUnix> {
    let path = format!("/proc/self/fd/{}/{GATE}", folder.as_fd().as_raw_fd());
    SocketAddrUnix::new(path).map_err(std::io::Error::from).context("cannot name the gate")
}

impl Container {
    /// Writes `state.json` aside and renames it.
    pub fn save(&self) -> Result<()> {
        let failed = || format!("cannot write {}", self.folder.join(STATE).display());
        let json = serde_json::to_vec(&self.record).map_err(std::io::Error::from).with_context(failed)?;
        let aside = self.folder.join(".state.json.tmp");
        fs::write(&aside, json).and_then(|()| fs::rename(&aside, self.folder.join(STATE))).with_context(failed)
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        if self.record.pid == 0 { Status::Stopped } else { status(&self.folder, &self.record) }
    }

    /// Its gate, for its first process to wait at.
    pub fn make_gate(&self) -> Result<OwnedFd> {
        let make = || -> rustix::io::Result<OwnedFd> {
            let gate = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
            bind(&gate, &address(&self.lock).map_err(|_| rustix::io::Errno::INVAL)?)?;
            listen(&gate, 8)?;
            Ok(gate)
        };
        make().map_err(std::io::Error::from).context("cannot make the container's gate")
    }

    /// A connection to its first process, which waits at the gate.
    ///
    /// # Errors
    /// `Conflict` when it does not wait.
    pub fn reach_gate(&self) -> Result<OwnedFd> {
        connect_gate(&self.folder)?.ok_or_else(|| Error::conflict("the container does not wait to be started"))
    }

    /// Nobody waits there any more.
    pub fn forget_gate(&self) {
        // A socket that nobody listens on says the same.
        let _gone = fs::remove_file(self.folder.join(GATE));
    }

    /// Its first process, while that is the one that is remembered.
    ///
    /// # Errors
    /// `Conflict` when it has ended.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let ended = || Error::conflict("container not running");
        let pid = Pid::from_raw(self.record.pid).ok_or_else(ended)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| ended())?;
        // Only now is it certain that the number has not gone to another.
        if start_of(self.record.pid) == Some(self.record.started) { Ok(pidfd) } else { Err(ended()) }
    }

    /// Its cgroup.
    pub fn group(&self) -> Result<Group> {
        Group::open(&self.record.cgroup)
    }

    /// Removes its folder.
    pub fn forget(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The container's first process has a copy of the descriptor until its program runs, and must not keep the lock.
        let _unlocked = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Record {
    /// The state as hooks and callers are told it.
    pub fn state(&self, status: Status) -> serde_json::Value {
        let mut state = json!({
            "ociVersion": crate::VERSION,
            "id": self.id,
            "status": status.as_str(),
            "bundle": self.bundle,
            "annotations": self.config.annotations,
        });
        if status != Status::Stopped {
            state["pid"] = self.pid.into();
        }
        state
    }

    /// The root file system's path on the host.
    pub fn root(&self) -> PathBuf {
        self.config.root.as_ref().map(|root| self.bundle.join(&root.path)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record { id: id.to_owned(), cgroup: format!("/{id}"), ..Record::default() }
    }

    #[test]
    fn a_container_is_made_once_and_found_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("deep/root"));
        assert!(store.list().unwrap().is_empty());
        let container = store.make(record("a")).unwrap();
        assert_eq!(store.look("a").unwrap().1, Status::Creating);
        drop(container);
        assert_eq!(store.look("a").unwrap().1, Status::Stopped);
        assert_eq!(store.make(record("a")).unwrap_err().kind(), wharf_types::Kind::Conflict);
        assert_eq!(store.list().unwrap().len(), 1);
        store.open("a").unwrap().forget().unwrap();
        assert_eq!(store.open("a").unwrap_err().kind(), wharf_types::Kind::NotFound);
        for bad in ["", ".", "..", "a/b", "a b"] {
            assert!(store.make(record(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_waits_at_the_gate_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let mut container = store.make(record(&"long".repeat(40))).unwrap();
        container.record.pid = std::process::id().cast_signed();
        container.record.started = start_of(container.record.pid).unwrap();
        let gate = container.make_gate().unwrap();
        assert_eq!(container.status(), Status::Created);
        drop(gate);
        assert_eq!(container.status(), Status::Running);
        container.record.started += 1;
        assert_eq!(container.status(), Status::Stopped);
        assert!(container.pidfd().is_err());
    }
}
