//! What a container is to the kernel: the complete, resolved description from which [`crate`] makes one.
//!
//! The engine writes it, the monitor passes it on, nothing in it refers to an image, a volume or a network by name:
//! every path is a host path unless it says otherwise. Serialised as JSON so that a person can read it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A container, ready to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's id: 64 hexadecimal digits.
    pub id: String,
    /// The root file system.
    pub root: RootFs,
    /// Whether the root is mounted read-only once everything else is in its place.
    pub readonly_root: bool,
    /// Mounts on top of the root and of the standard ones (/proc, /dev, /dev/pts, /dev/shm, /dev/mqueue, /sys,
    /// /sys/fs/cgroup), sorted by destination, parents first. A mount whose destination is one of the standard ones replaces it.
    pub mounts: Vec<Mount>,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// The container's first process.
    pub process: Process,
    /// Which namespaces are new, the host's, or another container's.
    pub namespaces: Namespaces,
    /// UTS host name; only with a new UTS namespace.
    pub hostname: String,
    /// NIS domain name; only with a new UTS namespace.
    pub domainname: Option<String>,
    /// The cgroup and its limits.
    pub cgroup: Cgroup,
    /// Devices to create in /dev beside the standard ones.
    pub devices: Vec<Device>,
    /// Device cgroup rules beside those of the standard and the listed devices.
    pub device_rules: Vec<DeviceRule>,
    /// Kernel parameters to set inside the namespaces, by dotted name.
    pub sysctls: BTreeMap<String, String>,
    /// Paths inside the container that are hidden (a file behind /dev/null, a folder behind an empty read-only tmpfs).
    pub masked_paths: Vec<String>,
    /// Paths inside the container that are remounted read-only.
    pub readonly_paths: Vec<String>,
    /// Privileged: all devices, no masks, /sys and cgroups writable; capabilities and seccomp are set in [`Process`].
    pub privileged: bool,
    /// Propagation of the container's mounts; the default is a private tree.
    pub root_propagation: Propagation,
    /// Run a minimal init as process 1 that reaps zombies and forwards signals (`--init`).
    pub init: bool,
}

/// Where the root file system comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootFs {
    /// An overlay, mounted only inside the container's mount namespace.
    Overlay {
        /// Layer folders, the topmost first. May be empty.
        lower: Vec<PathBuf>,
        /// The writable folder.
        upper: PathBuf,
        /// Overlay's work folder, on the same file system as `upper`.
        work: PathBuf,
    },
    /// A folder as it is.
    Directory(PathBuf),
}

/// One mount inside the container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container; made if it is missing, resolved within the root only.
    pub destination: String,
    /// What is mounted.
    pub source: MountSource,
    /// No writes.
    pub readonly: bool,
    /// For binds: the read-only flag covers submounts as well (kernel 5.12, mount_setattr).
    pub readonly_recursive: bool,
    /// Propagation of this mount.
    pub propagation: Propagation,
    /// Further options in mount(8)'s words: `nosuid`, `nodev`, `noexec`, `size=1m`, `mode=1777`, `uid=`, ...
    pub options: Vec<String>,
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A file or folder of the host.
    Bind {
        /// Host path; must exist.
        path: PathBuf,
        /// With everything mounted below it (`rbind`).
        recursive: bool,
    },
    /// A part of a folder of the host, found without leaving the folder, whatever links it has.
    Within {
        /// The folder; must exist.
        path: PathBuf,
        /// The part, relative to the folder.
        subpath: PathBuf,
    },
    /// An image's layers, read-only.
    Layers {
        /// Their folders, topmost first.
        lower: Vec<PathBuf>,
        /// A part of what they make up together; empty for all of it.
        subpath: PathBuf,
    },
    /// A fresh tmpfs.
    Tmpfs,
    /// Any other file system type, as mount(2) takes it.
    Filesystem {
        /// File system type, for instance `nfs`.
        kind: String,
        /// The device or server.
        device: String,
    },
}

/// Mount propagation (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// Nothing passes in or out.
    #[default]
    Private,
    /// Private, submounts too.
    Rprivate,
    /// Events come in from the host.
    Slave,
    /// Slave, submounts too.
    Rslave,
    /// Events pass both ways.
    Shared,
    /// Shared, submounts too.
    Rshared,
}

/// One of the container's namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// A new one.
    #[default]
    New,
    /// The one that the monitor is in.
    Host,
    /// An existing one, by path (`/proc/PID/ns/net`).
    Path(PathBuf),
}

/// All namespaces but the mount namespace, which is always new.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC and POSIX message queues.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// Network. `New` here means one with nothing but loopback; the monitor passes `Path` or `Host` when the
    /// network crate has made a sandbox.
    pub network: Namespace,
    /// The view of the cgroup tree.
    pub cgroup: Namespace,
}

/// A process: the container's first, or an exec.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; a program without a slash is looked up in the `PATH` of `env`, inside the container.
    pub argv: Vec<String>,
    /// `NAME=value` strings. `HOME` is added from the container's passwd where it is missing.
    pub env: Vec<String>,
    /// Working folder inside the container; made (mode 0755, owner root) when it is missing and this is the first process.
    pub cwd: String,
    /// `user[:group]`, names or numbers, looked up in the container's /etc/passwd and /etc/group; empty means 0:0.
    pub user: String,
    /// Supplementary groups beside those of /etc/group, names or numbers.
    pub additional_groups: Vec<String>,
    /// File mode mask; `None` keeps 0022.
    pub umask: Option<u32>,
    /// Whether standard input, output and error are one pseudo-terminal, which becomes the controlling one.
    pub tty: bool,
    /// Size of the terminal at start, rows and columns.
    pub tty_size: Option<(u16, u16)>,
    /// The bounding set, by name without `CAP_`: lower the process to these.
    pub capabilities: Vec<String>,
    /// No new privileges through set-user-id programs (prctl(2), PR_SET_NO_NEW_PRIVS).
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Resource limits by setrlimit(2) name in lower case (`nofile`): soft and hard.
    pub rlimits: BTreeMap<String, (u64, u64)>,
    /// OOM killer's adjustment, -1000 to 1000; clamped to what the host allows.
    pub oom_score_adj: Option<i32>,
    /// AppArmor profile, where the kernel has it.
    pub apparmor_profile: Option<String>,
    /// SELinux label of the process, where the kernel has it.
    pub selinux_label: Option<String>,
}

/// The system call filter of a process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// wharf's default policy, which decides as Docker's does for the process's capabilities.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A profile in Docker's JSON format.
    Profile(String),
}

/// The container's place in the cgroup tree.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroup {
    /// Path below every hierarchy's root, for instance `/wharf/ID`.
    pub path: String,
    /// Limits.
    pub resources: Resources,
}

/// Limits of a cgroup; absent means unlimited or the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory limit in bytes.
    pub memory: Option<i64>,
    /// Memory and swap together in bytes; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// Soft limit in bytes.
    pub memory_reservation: Option<i64>,
    /// Swappiness, 0 to 100 (v1 only).
    pub memory_swappiness: Option<u64>,
    /// Do not kill on out-of-memory (v1 only).
    pub oom_kill_disable: bool,
    /// Relative CPU weight, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// CPU time per period in microseconds.
    pub cpu_quota: Option<i64>,
    /// Length of the period in microseconds.
    pub cpu_period: Option<u64>,
    /// Real-time period in microseconds (v1 only).
    pub cpu_rt_period: Option<u64>,
    /// Real-time runtime in microseconds (v1 only).
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs, as `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes, as `0-1`.
    pub cpuset_mems: Option<String>,
    /// Number of processes and threads; -1 is unlimited.
    pub pids: Option<i64>,
    /// Block I/O weight, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// Per-device throttles: (`rbps`|`wbps`|`riops`|`wiops`, major, minor, value per second).
    pub blkio_throttle: Vec<(String, u64, u64, u64)>,
}

/// A device node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Device {
    /// Path inside the container.
    pub path: String,
    /// Block (true) or character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What the device cgroup allows: some of `rwm`.
    pub access: String,
}

/// A rule of the device cgroup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// Some of `rwm`.
    pub access: String,
}
