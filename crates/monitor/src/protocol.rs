//! What the engine and a monitor say to each other.
//!
//! Transport: a `SOCK_SEQPACKET` unix socket, one JSON document per packet, descriptors by `SCM_RIGHTS` on the packet
//! that names them. The first connection is a socket pair whose one end the monitor inherits as descriptor 3 and on
//! which it waits for [`Request::Start`]; later ones are made to `monitor.sock` in the monitor's folder. On a connection
//! requests are answered in order; events may come between answers once [`Request::Subscribe`] was sent.
//!
//! A monitor of an older or newer version must understand this: fields are only ever added, with defaults.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use wharf_network::plan::{EndpointPlan, PortPlan, SandboxPlan};
use wharf_runtime::spec::{ContainerSpec, Process};
use wharf_types::Kind;

/// Everything a monitor must know, passed as a sealed memory file with [`Request::Start`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MonitorSpec {
    /// The container.
    pub container: ContainerSpec,
    /// Its network.
    pub sandbox: SandboxPlan,
    /// What becomes of its output.
    pub log: LogPlan,
    /// Whether standard input is a pipe that clients write to; otherwise it is /dev/null.
    pub open_stdin: bool,
    /// Close standard input when the first client that wrote to it goes away.
    pub stdin_once: bool,
    /// Whether standard input is part of the log.
    #[serde(default)]
    pub log_stdin: bool,
    /// How to find out whether the container is healthy, if at all.
    #[serde(default)]
    pub health: Option<HealthPlan>,
    /// How its name server answers; `None` for a container that has none.
    #[serde(default)]
    pub names: Option<NamesPlan>,
}

/// A health check and when to make it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthPlan {
    /// What is done.
    pub probe: Probe,
    /// From the end of one check to the beginning of the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How long after its start failures do not count, as long as no check has succeeded.
    pub start_period: Duration,
    /// The interval meanwhile.
    pub start_interval: Duration,
    /// After how many failures in a row the container is unhealthy.
    pub retries: u32,
}

/// What a health check does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Runs a process in the container: 0 is healthy.
    Command(Box<Process>),
    /// Connects to an address of the container's network.
    Tcp(SocketAddr),
    /// Asks for a page over HTTP at an address of the container's network: 200 to 399 is healthy.
    Http {
        /// Where to connect.
        address: SocketAddr,
        /// The `Host` header.
        host: String,
        /// Path and query.
        path: String,
    },
}

/// How healthy a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five checks, the oldest first.
    pub log: Vec<Checked>,
}

/// How healthy a container is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// No check has succeeded yet, and not enough have failed.
    Starting,
    /// The last checks succeeded.
    Healthy,
    /// As many in a row failed as the plan allows.
    Unhealthy,
}

/// One health check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// When it began, RFC 3339 with nanoseconds.
    pub start: String,
    /// When it ended.
    pub end: String,
    /// 0 is healthy; -1 for one that could not be made or took too long.
    pub exit_code: i32,
    /// What it wrote, at most some KiB, or why it failed.
    pub output: String,
}

/// What the name server inside a container knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesPlan {
    /// Files with the names of its networks; the first that knows a name answers. Each looks like hosts(5) after a first
    /// line `# NETWORK`, is only ever replaced as a whole, and is read again when it has been.
    pub networks: Vec<PathBuf>,
    /// Names of the container's own, and the names of its networks that they stand for.
    #[serde(default)]
    pub aliases: Vec<(String, String)>,
    /// Where other names are asked for, in order; nowhere where empty.
    #[serde(default)]
    pub servers: Vec<NameServer>,
}

/// A name server outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Its address and port.
    pub address: SocketAddr,
    /// Whether it is asked from the host's network namespace instead of the container's.
    #[serde(default)]
    pub from_host: bool,
}

/// Where the container's output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogPlan {
    /// Nowhere but to attached clients.
    None,
    /// Docker's json-file format.
    JsonFile {
        /// The file; rotated ones get `.1`, `.2`, ... appended.
        path: PathBuf,
        /// Rotate at this size in bytes.
        max_size: Option<u64>,
        /// How many files are kept, this one included.
        max_files: u32,
        /// Rotated files are compressed with gzip.
        compress: bool,
        /// Fields for each line's `attrs`.
        attrs: Vec<(String, String)>,
    },
    /// To a collector.
    Remote {
        /// The collector.
        collector: Box<Collector>,
        /// A file in which the same is kept for whoever reads it here.
        cache: Option<Box<LogPlan>>,
    },
}

/// Something that takes log messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collector {
    /// Where it is.
    pub address: CollectorAddress,
    /// In what form it wants them.
    pub format: LogFormat,
    /// Beyond so many bytes that wait for it, messages are dropped; without this the container waits.
    pub drop_beyond: Option<u64>,
    /// Whether the container starts even if it is not there yet.
    pub patient: bool,
}

/// Where a collector is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectorAddress {
    /// A UDP port.
    Udp(SocketAddr),
    /// A TCP port.
    Tcp(SocketAddr),
    /// A stream socket.
    Unix(PathBuf),
    /// A datagram socket.
    UnixDatagram(PathBuf),
}

/// In what form a collector wants its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Syslog.
    Syslog(SyslogPlan),
    /// Graylog's.
    Gelf(GelfPlan),
    /// Fluentd's forward protocol.
    Fluentd(FluentdPlan),
    /// The journal's native protocol, with these fields in every entry.
    Journald(Vec<(String, String)>),
}

/// What every syslog message has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogPlan {
    /// The facility's number.
    pub facility: u8,
    /// Which standard.
    pub style: SyslogStyle,
    /// The host's name.
    pub hostname: String,
    /// The program's name.
    pub tag: String,
}

/// Which form of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogStyle {
    /// As to the host's own daemon.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424.
    Rfc5424 {
        /// With microseconds.
        micro: bool,
    },
}

/// What every GELF message has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GelfPlan {
    /// The host's name.
    pub host: String,
    /// Additional fields, without their underscore.
    pub fields: Vec<(String, String)>,
    /// How datagrams are compressed.
    pub compression: GelfCompression,
    /// How hard, 0 to 9.
    pub level: u8,
}

/// How GELF datagrams are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GelfCompression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Zlib,
}

/// What every event for Fluentd has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FluentdPlan {
    /// The tag.
    pub tag: String,
    /// Additional fields.
    pub fields: Vec<(String, String)>,
    /// Times with nanoseconds.
    pub sub_second: bool,
}

/// How a client's connection carries a process's streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// The client sends standard input.
    pub stdin: bool,
    /// The client receives standard output.
    pub stdout: bool,
    /// The client receives standard error.
    pub stderr: bool,
    /// Output in frames of an 8-byte header (stream, 0, 0, 0, big-endian length) and payload, as Docker multiplexes;
    /// raw otherwise.
    pub multiplexed: bool,
    /// Key sequence by which the client leaves and the process stays; empty disables it.
    pub detach_keys: Vec<u8>,
}

/// From the engine to the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A container with a network of its own will probably be started: make the namespace already. Not answered.
    Prepare,
    /// Make the container and start it. Descriptors: the [`MonitorSpec`] as a memory file, then one client
    /// connection for each of `attach`. Answered by [`Reply::Started`].
    Start {
        /// The monitor's folder, which exists.
        run_dir: PathBuf,
        /// Clients that attached before the start.
        attach: Vec<Streams>,
    },
    /// How are things? Answered by [`Reply::Status`].
    Status,
    /// From now on send [`Reply::Event`]s on this connection; those of execs and exits that were not yet
    /// delivered to any subscriber come first. Answered by [`Reply::Done`].
    Subscribe,
    /// Attach a client: its connection comes as a descriptor. Answered by [`Reply::Done`].
    Attach(Streams),
    /// Run a further process in the container. Descriptor: the client's connection, unless detached.
    /// Answered by [`Reply::Started`].
    Exec {
        /// The exec's id.
        id: String,
        /// The process.
        process: Box<Process>,
        /// The client's streams; `None` when detached.
        streams: Option<Streams>,
    },
    /// Send a signal to the first process or to an exec. Answered by [`Reply::Done`].
    Signal {
        /// An exec's id; `None` is the container's first process.
        exec: Option<String>,
        /// Signal number.
        signal: i32,
    },
    /// Set the terminal's size. Answered by [`Reply::Done`].
    Resize {
        /// An exec's id; `None` is the container's first process.
        exec: Option<String>,
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        columns: u16,
    },
    /// Freeze the container's processes, or let them go on; no health check is made meanwhile. Answered by [`Reply::Done`].
    Freeze(bool),
    /// Publish these ports and take those back; all or nothing of the former. Answered by [`Reply::Done`].
    Ports {
        /// Further ports.
        publish: Vec<PortPlan>,
        /// Ports that are published no longer.
        unpublish: Vec<PortPlan>,
    },
    /// From now on answer names like this. Answered by [`Reply::Done`].
    Names(NamesPlan),
    /// Add a network interface; one that is there already is no error. Answered by [`Reply::Done`].
    Connect {
        /// What it is like.
        endpoint: Box<EndpointPlan>,
        /// Its place among those that may give the default route.
        position: usize,
    },
    /// Take a network interface away; one that is not there is no error. Answered by [`Reply::Done`].
    Disconnect {
        /// The endpoint's id.
        endpoint: String,
    },
}

/// From the monitor to the engine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The process runs.
    Started {
        /// Its process id in the host's namespace.
        pid: i32,
        /// When it started, RFC 3339 with nanoseconds.
        started_at: String,
    },
    /// How things are.
    Status(Status),
    /// It is done.
    Done,
    /// It could not be done.
    Failed {
        /// The kind of failure.
        kind: Kind,
        /// One sentence.
        message: String,
        /// What the person can do.
        hint: Option<String>,
    },
    /// Something happened.
    Event(Event),
}

/// The state of the container as its monitor sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the container's first process in the host's namespace.
    pub pid: i32,
    /// When it started, RFC 3339 with nanoseconds.
    pub started_at: String,
    /// Process id of the monitor itself.
    pub monitor_pid: i32,
    /// Execs that still run: id and process id.
    pub execs: Vec<(String, i32)>,
    /// The network as it is by now; absent from a monitor that could not change it.
    #[serde(default)]
    pub sandbox: Option<SandboxPlan>,
}

/// Something that happened in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container's first process ended; the same record is in `exit.json` in the monitor's folder by now.
    /// The monitor then takes the container's network and cgroup down and ends; the connection closes with it.
    Exited(Exit),
    /// An exec ended.
    ExecExited {
        /// The exec's id.
        id: String,
        /// Exit code, 128 + signal for a process that was killed.
        code: i32,
    },
    /// A client left with its detach keys.
    Detached {
        /// An exec's id; `None` is the container's first process.
        exec: Option<String>,
    },
    /// A health check was made; also the first thing that a new subscriber is told, if there are such checks.
    Health(Health),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, 128 + signal for a process that was killed.
    pub code: i32,
    /// Whether the kernel's out-of-memory killer struck in the container's cgroup.
    pub oom_killed: bool,
    /// When it ended, RFC 3339 with nanoseconds.
    pub finished_at: String,
    /// What could not be taken down or written, if anything.
    pub problems: Vec<String>,
}
