//! What a container is to the kernel: the complete, resolved description from which [`crate`] makes one.
//!
//! The engine writes it, the monitor passes it on, nothing in it refers to an image, a volume or a network by name:
//! every path is a host path unless it says otherwise. Serialised as JSON so that a person can read it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A container, ready to be created.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// Nothing but the listed mounts, in the listed order: the standard ones are listed, too, if there are to be any. A
    /// file system of type `cgroup` is then the container's view of its cgroup.
    #[serde(default)]
    pub exact: bool,
    /// Change the root with chroot(2), for a host whose root is an initial RAM disk, of which pivot_root(2) is not capable.
    #[serde(default)]
    pub no_pivot: bool,
    /// Programs to run on the way, inside the container's namespaces.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

/// Programs that the new process runs before it becomes the container's (the hooks of the OCI runtime specification).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hooks {
    /// In the container's namespaces, the host's root still being the root; the paths are the host's.
    pub create_container: Vec<Hook>,
    /// In the container, just before its program; the paths are the container's.
    pub start_container: Vec<Hook>,
}

impl Hooks {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A program to run on the way. It gets the container's state as JSON on its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Absolute path.
    pub path: PathBuf,
    /// All arguments, the program's name first; that is `path` if there are none.
    pub args: Vec<String>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<String>,
    /// Seconds after which it has failed.
    pub timeout: Option<u64>,
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
        /// Nothing written is brought to the disk for its own sake (kernel 5.10): for what is of no use after a crash.
        #[serde(default)]
        volatile: bool,
    },
    /// A folder as it is.
    Directory(PathBuf),
}

impl Default for RootFs {
    fn default() -> Self {
        Self::Directory(PathBuf::new())
    }
}

/// One mount inside the container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// Further options in mount(8)'s words: `nosuid`, `nodev`, `noexec`, `size=1m`, `mode=1777`, `uid=`, ... With an `r` in
    /// front (`rnosuid`, `rro`) an attribute holds for submounts as well.
    pub options: Vec<String>,
    /// For a tmpfs: it starts with what the container's root has in its place.
    #[serde(default)]
    pub copy_up: bool,
    /// For binds: the files' owners are shown mapped (kernel 5.12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Owners>,
}

/// How the owners of a mount's files are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owners {
    /// The mapping; `None` is that of the container's user namespace.
    pub mapping: Option<IdMapping>,
    /// Also of what is mounted below.
    pub recursive: bool,
}

/// User and group ids inside of a user namespace and outside of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

/// A range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// The first one inside.
    #[serde(rename = "containerID")]
    pub inside: u32,
    /// The first one outside.
    #[serde(rename = "hostID")]
    pub outside: u32,
    /// How many.
    pub size: u32,
}

impl IdMapping {
    /// The host's id of the namespace's user and group 0.
    pub fn root(&self) -> Option<(u32, u32)> {
        let of =
            |ranges: &[IdRange]| ranges.iter().find(|range| range.inside == 0 && range.size > 0).map(|r| r.outside);
        of(&self.uids).zip(of(&self.gids))
    }

    /// The host's ids of a user and a group inside; those without one stay as they are, which is nobody's.
    pub fn outside(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        let of = |ranges: &[IdRange], id: u32| {
            let range = ranges.iter().find(|range| id >= range.inside && id - range.inside < range.size);
            range.map_or(id, |range| range.outside + (id - range.inside))
        };
        (of(&self.uids, uid), of(&self.gids, gid))
    }
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    #[default]
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
    /// Private, and not to be bound elsewhere.
    Unbindable,
    /// Unbindable, submounts too.
    Runbindable,
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

/// All namespaces.
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
    /// Users; `None` is the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserNamespace>,
    /// Clocks; `None` is the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeNamespace>,
    /// Mounts: an existing namespace, in which nothing is mounted any more; `None` is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<PathBuf>,
}

/// A user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserNamespace {
    /// A new one.
    New(IdMapping),
    /// An existing one, by path.
    Path(PathBuf),
}

/// A time namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeNamespace {
    /// A new one, with what is added to its clocks: name (`monotonic`, `boottime`), seconds, nanoseconds.
    New(Vec<(String, i64, u32)>),
    /// An existing one, by path.
    Path(PathBuf),
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
    /// The exact capability sets; `None`: `capabilities` are the bounding set, and user 0 has them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sets: Option<CapabilitySets>,
    /// Execution domain (personality(2)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<u32>,
    /// How the processors are shared out to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Class (real-time 1, best effort 2, idle 3) and level (0 to 7) of its input and output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<(u8, u8)>,
    /// The processors that it may use; empty for all of its cgroup's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<usize>,
    /// It keeps the caller's session key ring.
    #[serde(default)]
    pub keep_keyring: bool,
    /// How many of the caller's descriptors from 3 on it gets.
    #[serde(default)]
    pub kept_descriptors: u32,
}

/// Capability sets by name, with or without `CAP_` (capabilities(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapabilitySets {
    /// What it can never have more of.
    pub bounding: Vec<String>,
    /// What it can do now.
    pub effective: Vec<String>,
    /// What it may raise.
    pub permitted: Vec<String>,
    /// What passes through execve of a file with inheritable capabilities.
    pub inheritable: Vec<String>,
    /// What passes through execve of an ordinary file.
    pub ambient: Vec<String>,
}

/// How the processors are shared out (sched_setattr(2)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduling {
    /// The kernel's number of the policy.
    pub policy: u32,
    /// The kernel's flags.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99.
    pub priority: u32,
    /// Nanoseconds: runtime, deadline, period.
    pub deadline: (u64, u64, u64),
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
    /// A profile in Docker's JSON format, or that of the OCI runtime specification.
    Profile(String),
    /// A filter that was compiled before, by an engine that starts many containers.
    Compiled(CompiledFilter),
}

/// A system call filter as the kernel takes it, in hexadecimal digits: 16 for each instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompiledFilter(pub std::sync::Arc<str>);

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
    /// How much unused quota may be saved up, in microseconds.
    pub cpu_burst: Option<u64>,
    /// 1 makes the cgroup run only when nothing else does.
    pub cpu_idle: Option<i64>,
    /// Memory for TCP buffers in bytes (v1 only).
    pub kernel_memory_tcp: Option<i64>,
    /// Huge pages: size (`2MB`) and bytes.
    pub hugepages: Vec<(String, u64)>,
    /// RDMA by device: handles and objects.
    pub rdma: BTreeMap<String, (Option<u32>, Option<u32>)>,
    /// Class of network packets (v1 only).
    pub network_class: Option<u32>,
    /// Priority of network packets by interface (v1 only).
    pub network_priorities: Vec<(String, u32)>,
    /// Files of version 2 and what is written to them.
    pub unified: BTreeMap<String, String>,
    /// Block I/O weight, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same for the tasks of the cgroup itself (v1 only, in kernels before 5.0).
    pub blkio_leaf_weight: Option<u16>,
    /// Block I/O weight by device: major, minor, weight.
    pub blkio_weight_device: Vec<(u64, u64, u16)>,
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
