//! `GET /info`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{List, Map};

/// The daemon and its host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Info {
    /// The daemon's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// All containers.
    pub containers: i64,
    /// Those that run.
    pub containers_running: i64,
    /// Those that are frozen.
    pub containers_paused: i64,
    /// The others.
    pub containers_stopped: i64,
    /// Images.
    pub images: i64,
    /// The storage driver.
    pub driver: String,
    /// What it says of itself, as pairs.
    pub driver_status: Vec<[String; 2]>,
    /// Where the daemon keeps what lasts.
    pub docker_root_dir: String,
    /// Drivers.
    pub plugins: Plugins,
    /// The kernel can limit memory.
    pub memory_limit: bool,
    /// The kernel can limit swap.
    pub swap_limit: bool,
    /// The kernel can limit kernel memory for TCP (until API 1.51).
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "std::ops::Not::not")]
    pub kernel_memory_tcp: bool,
    /// The kernel has CFS periods.
    pub cpu_cfs_period: bool,
    /// The kernel has CFS quotas.
    pub cpu_cfs_quota: bool,
    /// The kernel has relative weights.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// The kernel can bind to processors.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// The kernel can limit the number of processes.
    pub pids_limit: bool,
    /// The out-of-memory killer can be kept away.
    pub oom_kill_disable: bool,
    /// The host forwards IPv4.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Until API 1.49.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge_nf_iptables: Option<bool>,
    /// Until API 1.49.
    #[serde(rename = "BridgeNfIp6tables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_ip6tables: Option<bool>,
    /// Debugging is on.
    pub debug: bool,
    /// Open descriptors.
    pub n_fd: i64,
    /// Threads of work; Docker's own name for the field is kept.
    #[serde(rename = "NGoroutines")]
    pub n_goroutines: i64,
    /// RFC 3339 with nanoseconds.
    pub system_time: String,
    /// The default log driver.
    pub logging_driver: String,
    /// `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup_version: String,
    /// Who follows the events.
    #[serde(rename = "NEventsListener")]
    pub n_events_listener: i64,
    /// The kernel's version.
    pub kernel_version: String,
    /// For people: `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// `12`.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// The processor, as the kernel calls it.
    pub architecture: String,
    /// Where images without a registry come from.
    pub index_server_address: String,
    /// Registries.
    pub registry_config: Option<RegistryConfig>,
    /// Processors.
    #[serde(rename = "NCPU")]
    pub ncpu: i64,
    /// Bytes.
    pub mem_total: i64,
    /// Swarm only.
    pub generic_resources: List<serde_json::Value>,
    /// Proxy of the daemon.
    pub http_proxy: String,
    /// Proxy of the daemon.
    pub https_proxy: String,
    /// Hosts without proxy.
    pub no_proxy: String,
    /// Host name.
    pub name: String,
    /// Labels of the daemon.
    pub labels: Vec<String>,
    /// Experimental features are on.
    pub experimental_build: bool,
    /// The daemon's version.
    pub server_version: String,
    /// OCI runtimes.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The one that is used.
    pub default_runtime: String,
    /// The swarm.
    pub swarm: Swarm,
    /// Containers outlive the daemon.
    pub live_restore_enabled: bool,
    /// Windows only.
    pub isolation: String,
    /// The program for `--init`.
    pub init_binary: String,
    /// The part that keeps images.
    pub containerd_commit: Commit,
    /// The part that runs containers.
    pub runc_commit: Commit,
    /// The program for `--init`.
    pub init_commit: Commit,
    /// `name=seccomp,profile=builtin`, ...
    pub security_options: Vec<String>,
    /// Always empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub product_license: String,
    /// Where networks get their subnets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_address_pools: Vec<AddressPool>,
    /// How traffic is filtered (API 1.49).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall_backend: Option<FirewallBackend>,
    /// Where CDI devices are described.
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    /// CDI devices that were found (API 1.50).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discovered_devices: Vec<DeviceInfo>,
    /// containerd, where one is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containerd: Option<Containerd>,
    /// Sentences for the person.
    pub warnings: List<String>,
}

/// Drivers by purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Plugins {
    /// Volumes.
    pub volume: List<String>,
    /// Networks.
    pub network: List<String>,
    /// Authorisation.
    pub authorization: List<String>,
    /// Logs.
    pub log: List<String>,
}

/// Registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RegistryConfig {
    /// Networks whose registries need no TLS.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: List<String>,
    /// By host name.
    pub index_configs: Map<String, IndexConfig>,
    /// Mirrors of the default registry.
    pub mirrors: List<String>,
}

/// One registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IndexConfig {
    /// Host name.
    pub name: String,
    /// Its mirrors.
    pub mirrors: Vec<String>,
    /// TLS is needed.
    pub secure: bool,
    /// The default registry.
    pub official: bool,
}

/// An OCI runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Runtime {
    /// The program.
    pub path: String,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runtime_args: Vec<String>,
    /// What it says of itself (API 1.44).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub status: BTreeMap<String, String>,
}

/// The swarm, or that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Swarm {
    /// This node's id.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// This node's address.
    pub node_addr: String,
    /// `inactive`, `pending`, `active`, `error` or `locked`.
    pub local_node_state: String,
    /// This node is a manager.
    pub control_available: bool,
    /// What is wrong.
    pub error: String,
    /// Always `null` without a swarm.
    pub remote_managers: List<serde_json::Value>,
}

/// A part's source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// The commit that is there.
    #[serde(rename = "ID")]
    pub id: String,
    /// The commit that was expected (until API 1.48).
    #[serde(rename = "Expected", skip_serializing_if = "String::is_empty")]
    pub expected: String,
}

/// Where networks get their subnets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AddressPool {
    /// `10.10.0.0/16`.
    pub base: String,
    /// Prefix length of each subnet.
    pub size: i64,
}

/// How traffic is filtered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct FirewallBackend {
    /// `nftables`, `iptables`, ...
    pub driver: String,
    /// What it says of itself, as pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<[String; 2]>,
}

/// A device that can be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceInfo {
    /// `cdi`.
    pub source: String,
    /// Its name there.
    #[serde(rename = "ID")]
    pub id: String,
}

/// The containerd that a daemon uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Containerd {
    /// Its socket.
    pub address: String,
    /// Its namespaces.
    pub namespaces: ContainerdNamespaces,
}

/// The namespaces in containerd that a daemon uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerdNamespaces {
    /// For containers.
    pub containers: String,
    /// For plugins.
    pub plugins: String,
}
