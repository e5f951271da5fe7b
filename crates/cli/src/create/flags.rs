//! The flags that `run` and `create` share.

use clap::Args;
use wharf_api::container::{DeviceRequest, Mount, ThrottleDevice, Ulimit, WeightDevice};

use crate::grammar::network::Attachment;
use crate::grammar::number::{boolean, bytes, bytes_or_unlimited, integer, nano_cpus, unsigned};
use crate::grammar::{device, env_file, host, network, time, ulimit};

/// Flags of `run` and `create` that describe the container.
#[derive(Debug, Args)]
pub struct ContainerFlags {
    /// Add a name to the container's hosts file (NAME:IP)
    #[arg(long, value_parser = host::extra_host)]
    pub add_host: Vec<String>,
    /// Attach a note that is handed to the runtime (KEY=VALUE)
    #[arg(long, value_name = "map")]
    pub annotation: Vec<String>,
    /// Connect to STDIN, STDOUT or STDERR
    #[arg(short, long, value_parser = stream)]
    pub attach: Vec<String>,
    /// Share of block I/O, 10 to 1000; 0 leaves it out
    #[arg(long, value_name = "uint16", default_value = "0", hide_default_value = true, value_parser = unsigned::<u16>)]
    pub blkio_weight: u16,
    /// Share of block I/O on one device (PATH:WEIGHT)
    #[arg(long, value_parser = device::weight)]
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Give the container a capability
    #[arg(long)]
    pub cap_add: Vec<String>,
    /// Take a capability from the container
    #[arg(long)]
    pub cap_drop: Vec<String>,
    /// Parent control group of the container
    #[arg(long)]
    pub cgroup_parent: Option<String>,
    /// Control group namespace: host or private
    #[arg(long)]
    pub cgroupns: Option<String>,
    /// Write the container's id into this file
    #[arg(long)]
    pub cidfile: Option<String>,
    /// Number of processors (Windows)
    #[arg(long, value_name = "int", hide = true, value_parser = integer::<i64>)]
    pub cpu_count: Option<i64>,
    /// Percentage of the processors (Windows)
    #[arg(long, value_name = "int", hide = true, value_parser = integer::<i64>)]
    pub cpu_percent: Option<i64>,
    /// Period of the CPU quota, in microseconds
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub cpu_period: i64,
    /// CPU time per period, in microseconds
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub cpu_quota: i64,
    /// Period of the realtime budget, in microseconds
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub cpu_rt_period: i64,
    /// Realtime budget per period, in microseconds
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub cpu_rt_runtime: i64,
    /// Relative share of CPU time
    #[arg(short = 'c', long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub cpu_shares: i64,
    /// How many processors the container may use
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    pub cpus: Option<i64>,
    /// Processors to run on (0-3, 0,1)
    #[arg(long)]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use (0-3, 0,1)
    #[arg(long)]
    pub cpuset_mems: Option<String>,
    /// Give the container a device of the host (HOST[:CONTAINER][:rwm])
    #[arg(long)]
    pub device: Vec<String>,
    /// Allow devices by number (TYPE MAJOR:MINOR ACCESS)
    #[arg(long, value_parser = device::cgroup_rule)]
    pub device_cgroup_rule: Vec<String>,
    /// Limit the rate of reading from a device (PATH:BYTES)
    #[arg(long, value_parser = device::throttle_bps)]
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Limit the reads per second from a device (PATH:NUMBER)
    #[arg(long, value_parser = device::throttle_iops)]
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Limit the rate of writing to a device (PATH:BYTES)
    #[arg(long, value_parser = device::throttle_bps)]
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Limit the writes per second to a device (PATH:NUMBER)
    #[arg(long, value_parser = device::throttle_iops)]
    pub device_write_iops: Vec<ThrottleDevice>,
    /// Name server of the container
    #[arg(long, value_parser = host::name_server)]
    pub dns: Vec<String>,
    /// Option for the resolver
    #[arg(long, alias = "dns-opt")]
    pub dns_option: Vec<String>,
    /// Domain to search
    #[arg(long, value_parser = host::search_domain)]
    pub dns_search: Vec<String>,
    /// Domain name of the container
    #[arg(long)]
    pub domainname: Option<String>,
    /// Program to run instead of the image's entry point
    #[arg(long)]
    pub entrypoint: Option<String>,
    /// Set a variable (NAME=VALUE, or NAME to pass your own)
    #[arg(short, long, value_parser = env_file::variable)]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long)]
    pub env_file: Vec<String>,
    /// Declare a port or range that the container listens on
    #[arg(long)]
    pub expose: Vec<String>,
    /// Give the container GPUs ('all', a number or device=...)
    #[arg(long, value_name = "gpu-request", value_parser = device::gpus)]
    pub gpus: Vec<DeviceRequest>,
    /// Add a group to those of the user
    #[arg(long)]
    pub group_add: Vec<String>,
    /// Command that finds out whether the container is well
    #[arg(long)]
    pub health_cmd: Option<String>,
    /// Page that must answer with 200 to 399 (http://[IP][:PORT]/PATH); asked for without a process
    #[arg(long, value_name = "URL", conflicts_with_all = ["health_cmd", "health_tcp"])]
    pub health_http: Option<String>,
    /// Time between two checks (ms, s, m, h)
    #[arg(long, value_name = "duration", default_value = "0s", hide_default_value = true, value_parser = time::duration)]
    pub health_interval: i64,
    /// Failures in a row until the container counts as unwell
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub health_retries: i64,
    /// Time between two checks while the container starts
    #[arg(long, value_name = "duration", default_value = "0s", hide_default_value = true, value_parser = time::duration)]
    pub health_start_interval: i64,
    /// Time to start, in which failures do not count
    #[arg(long, value_name = "duration", default_value = "0s", hide_default_value = true, value_parser = time::duration)]
    pub health_start_period: i64,
    /// Port that must take connections ([IP:]PORT); tried without a process
    #[arg(long, value_name = "PORT", conflicts_with = "health_cmd")]
    pub health_tcp: Option<String>,
    /// Time that one check may take
    #[arg(long, value_name = "duration", default_value = "0s", hide_default_value = true, value_parser = time::duration)]
    pub health_timeout: i64,
    /// Host name of the container
    #[arg(short = 'h', long)]
    pub hostname: Option<String>,
    /// Run an init that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub init: Option<bool>,
    /// Keep STDIN open
    #[arg(short, long)]
    pub interactive: bool,
    /// Limit of I/O bandwidth (Windows)
    #[arg(long, value_name = "bytes", hide = true, value_parser = bytes)]
    pub io_maxbandwidth: Option<i64>,
    /// Limit of I/O operations (Windows)
    #[arg(long, value_name = "uint", hide = true, value_parser = unsigned::<u64>)]
    pub io_maxiops: Option<u64>,
    /// IPv4 address in the network
    #[arg(long, value_name = "ip")]
    pub ip: Option<String>,
    /// IPv6 address in the network
    #[arg(long, value_name = "ip")]
    pub ip6: Option<String>,
    /// IPC namespace: none, private, shareable, host or container:NAME
    #[arg(long)]
    pub ipc: Option<String>,
    /// Isolation technology (Windows)
    #[arg(long, hide = true)]
    pub isolation: Option<String>,
    /// Limit of kernel memory (no longer has an effect)
    #[arg(long, value_name = "bytes", hide = true, value_parser = bytes)]
    pub kernel_memory: Option<i64>,
    /// Give the container a label (KEY=VALUE)
    #[arg(short, long, value_parser = env_file::label)]
    pub label: Vec<String>,
    /// Read labels from a file
    #[arg(long)]
    pub label_file: Vec<String>,
    /// Let the container find another one by name (NAME[:ALIAS])
    #[arg(long, value_parser = host::link)]
    pub link: Vec<String>,
    /// Further link-local address
    #[arg(long)]
    pub link_local_ip: Vec<String>,
    /// Where the output goes (json-file, none)
    #[arg(long)]
    pub log_driver: Option<String>,
    /// Option of the log driver (NAME=VALUE)
    #[arg(long)]
    pub log_opt: Vec<String>,
    /// Hardware address (92:d0:c6:0a:29:33)
    #[arg(long)]
    pub mac_address: Option<String>,
    /// Limit of memory (512m, 2g)
    #[arg(short, long, value_name = "bytes", default_value = "0", hide_default_value = true, value_parser = bytes)]
    pub memory: i64,
    /// Memory that is kept when the host runs short
    #[arg(long, value_name = "bytes", default_value = "0", hide_default_value = true, value_parser = bytes)]
    pub memory_reservation: i64,
    /// Limit of memory and swap together; -1 is no limit
    #[arg(long, value_name = "bytes", default_value = "0", hide_default_value = true, value_parser = bytes_or_unlimited)]
    pub memory_swap: i64,
    /// Readiness to swap, 0 to 100
    #[arg(long, value_name = "int", default_value = "-1", hide_default_value = true, value_parser = integer::<i64>)]
    pub memory_swappiness: i64,
    /// Mount a file system (type=bind,src=PATH,dst=PATH,...)
    #[arg(long, value_name = "mount", value_parser = mount)]
    pub mount: Vec<Mount>,
    /// Name of the container
    #[arg(long)]
    pub name: Option<String>,
    /// Connect to a network (NAME or name=NAME,alias=...)
    #[arg(long, alias = "net", value_name = "network", value_parser = network::parse)]
    pub network: Vec<Attachment>,
    /// Further name in the network
    #[arg(long, alias = "net-alias")]
    pub network_alias: Vec<String>,
    /// Do not run the image's health check
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Do not let the kernel kill processes for want of memory
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// Readiness of the kernel to kill it for want of memory, -1000 to 1000
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i32>)]
    pub oom_score_adj: i32,
    /// Process namespace: host or container:NAME
    #[arg(long)]
    pub pid: Option<String>,
    /// Limit of processes; -1 is no limit
    #[arg(long, value_name = "int", default_value = "0", hide_default_value = true, value_parser = integer::<i64>)]
    pub pids_limit: i64,
    /// Platform, where the engine has several (OS/ARCH)
    #[arg(long)]
    pub platform: Option<String>,
    /// Give the container all capabilities and devices
    #[arg(long)]
    pub privileged: bool,
    /// Publish a port ([[IP:]HOST:]CONTAINER[/PROTOCOL])
    #[arg(short = 'p', long)]
    pub publish: Vec<String>,
    /// Publish all declared ports to free ports of the host
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Get the image before: always, missing or never
    #[arg(long, default_value = "missing", hide_default_value = true)]
    pub pull: String,
    /// Do not show progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Mount the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// When to start again: no, always, unless-stopped, on-failure[:MAX]
    #[arg(long, default_value = "no", hide_default_value = true)]
    pub restart: String,
    /// End the container when it is unhealthy, and start it again whatever --restart says
    #[arg(long)]
    pub restart_on_unhealthy: bool,
    /// Remove the container and its anonymous volumes when it ends
    #[arg(long)]
    pub rm: bool,
    /// OCI runtime to use
    #[arg(long)]
    pub runtime: Option<String>,
    /// Security option (seccomp=FILE, no-new-privileges, ...)
    #[arg(long)]
    pub security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", default_value = "0", hide_default_value = true, value_parser = bytes)]
    pub shm_size: i64,
    /// Signal that asks the container to end
    #[arg(long)]
    pub stop_signal: Option<String>,
    /// Seconds until a stopped container is killed
    #[arg(long, value_name = "int", value_parser = integer::<i64>)]
    pub stop_timeout: Option<i64>,
    /// Option of the storage (NAME=VALUE)
    #[arg(long)]
    pub storage_opt: Vec<String>,
    /// Kernel setting of the container's namespaces (NAME=VALUE)
    #[arg(long, value_name = "map", value_parser = sysctl)]
    pub sysctl: Vec<String>,
    /// Mount a tmpfs (PATH[:OPTIONS])
    #[arg(long)]
    pub tmpfs: Vec<String>,
    /// Give the container a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Resource limit (NAME=SOFT[:HARD])
    #[arg(long, value_name = "ulimit", value_parser = ulimit::parse)]
    pub ulimit: Vec<Ulimit>,
    /// Let the container use the engine's socket
    #[arg(long)]
    pub use_api_socket: bool,
    /// User (NAME|UID[:GROUP|GID])
    #[arg(short, long)]
    pub user: Option<String>,
    /// User namespace: host
    #[arg(long)]
    pub userns: Option<String>,
    /// UTS namespace: host
    #[arg(long)]
    pub uts: Option<String>,
    /// Mount a folder or volume ([SOURCE:]TARGET[:OPTIONS])
    #[arg(short, long)]
    pub volume: Vec<String>,
    /// Driver of the volumes that are made
    #[arg(long)]
    pub volume_driver: Option<String>,
    /// Mount the volumes of another container
    #[arg(long)]
    pub volumes_from: Vec<String>,
    /// Folder to run in
    #[arg(short, long)]
    pub workdir: Option<String>,
}

fn stream(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "stdin" | "stdout" | "stderr" => Ok(lower),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".into()),
    }
}

fn mount(text: &str) -> Result<Mount, String> {
    let current = std::env::current_dir().unwrap_or_else(|_| "/".into());
    crate::grammar::mount::parse(text, &current)
}

/// Settings of the namespaces that a container has of its own.
fn sysctl(text: &str) -> Result<String, String> {
    const NAMES: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.domainname",
    ];
    let known = |name: &str| NAMES.contains(&name) || ["net.", "fs.mqueue."].iter().any(|p| name.starts_with(p));
    match text.split_once('=') {
        Some((name, _)) if known(name) => Ok(text.to_owned()),
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}
