//! Everything about one container: `GET /containers/{id}/json`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig, MountType};
use crate::image::Descriptor;
use crate::network::EndpointSettings;
use crate::port::PortMap;
use crate::{List, Map};

/// Everything about one container. Times are RFC 3339 with nanoseconds in UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Inspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was created.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How it is now.
    pub state: Option<State>,
    /// The image's id.
    pub image: String,
    /// On the host.
    pub resolv_conf_path: String,
    /// On the host.
    pub hostname_path: String,
    /// On the host.
    pub hosts_path: String,
    /// On the host; empty where the log driver keeps no file.
    pub log_path: String,
    /// With a leading slash.
    pub name: String,
    /// How often its restart policy started it again.
    pub restart_count: i64,
    /// The storage driver.
    pub driver: String,
    /// Operating system.
    pub platform: String,
    /// The image's manifest (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
    /// SELinux label of its files.
    pub mount_label: String,
    /// SELinux label of its processes.
    pub process_label: String,
    /// AppArmor profile.
    pub app_armor_profile: String,
    /// Execs that run.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: List<String>,
    /// How it is tied to the host.
    pub host_config: Option<HostConfig>,
    /// The storage driver's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_driver: Option<GraphDriver>,
    /// Bytes in its own layer; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes in all layers; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// What is mounted in it.
    pub mounts: Vec<MountPoint>,
    /// What it is.
    pub config: Option<Config>,
    /// Its networks.
    pub network_settings: Option<NetworkSettings>,
}

/// How a container is now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct State {
    /// In one word.
    pub status: Status,
    /// Its first process runs; also while it is paused or about to be started again.
    pub running: bool,
    /// Frozen.
    pub paused: bool,
    /// Between two starts by its restart policy.
    pub restarting: bool,
    /// A process was killed for lack of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Could not be removed.
    pub dead: bool,
    /// On the host; 0 when it does not run.
    pub pid: i64,
    /// Of the last run.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// `0001-01-01T00:00:00Z` if never.
    pub started_at: String,
    /// `0001-01-01T00:00:00Z` if never.
    pub finished_at: String,
    /// Absent without a health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// A container's state in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// Runs.
    Running,
    /// Frozen.
    Paused,
    /// Between two starts by its restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// Could not be removed.
    Dead,
    /// A word of another engine's.
    #[serde(other)]
    Unknown,
}

impl Status {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
            Status::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the health check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Health {
    /// In one word.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last five checks, oldest first.
    pub log: List<HealthcheckResult>,
}

/// A container's health in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No health check.
    #[default]
    None,
    /// In the start period.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Too many checks in a row failed.
    Unhealthy,
    /// A word of another engine's.
    #[serde(other)]
    Unknown,
}

/// One run of the health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthcheckResult {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0 healthy, 1 unhealthy, 2 reserved; others are errors of the check itself.
    pub exit_code: i64,
    /// At most 4096 bytes.
    pub output: String,
}

/// The storage driver and its data about one container or image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct GraphDriver {
    /// Folders: `LowerDir`, `UpperDir`, `WorkDir`, `MergedDir` of `overlay2`.
    pub data: Map<String, String>,
    /// The driver's name.
    pub name: String,
}

/// Something mounted in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct MountPoint {
    /// What kind.
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MountType>,
    /// The volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// On the host.
    pub source: String,
    /// In the container.
    pub destination: String,
    /// The volume's driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options that were given, `z`, `ro`, ...
    pub mode: String,
    /// Whether it is writable.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// `rprivate`, ...
    pub propagation: String,
}

/// A container's networks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// What API versions before 1.52 show besides; not read.
    #[serde(flatten, skip_deserializing)]
    pub legacy: Option<LegacyNetworkSettings>,
    /// Identifies the network namespace.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Path of the network namespace.
    pub sandbox_key: String,
    /// Exposed ports, with the addresses where they are published.
    pub ports: PortMap,
    /// By network name.
    pub networks: Map<String, EndpointSettings>,
}

/// What [`NetworkSettings`] held besides until API 1.51: above all a copy of the endpoint on the default bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LegacyNetworkSettings {
    /// Always empty.
    pub bridge: String,
    /// Always false.
    pub hairpin_mode: bool,
    /// Always empty.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Always 0.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: i64,
    /// Always `null`.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: List<Address>,
    /// Always `null`.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: List<Address>,
    /// See [`EndpointSettings`], as all that follow.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// IPv6 prefix length.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// IPv4 prefix length.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// Link-layer address.
    pub mac_address: String,
}

/// An address with its prefix length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Address {
    /// Without prefix length.
    pub addr: String,
    /// Bits.
    pub prefix_len: i64,
}

impl Inspect {
    /// Labels, empty where there is no configuration.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.config.as_ref().map_or(&NONE, |config| &config.labels)
    }
}

impl NetworkSettings {
    /// Fills in what API versions before 1.52 show, from the endpoint on the default bridge.
    pub fn add_legacy(&mut self) {
        let bridge = self.networks.get("bridge").cloned().unwrap_or_default();
        self.legacy = Some(LegacyNetworkSettings {
            endpoint_id: bridge.endpoint_id,
            gateway: bridge.gateway,
            global_ipv6_address: bridge.global_ipv6_address,
            global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
            ip_address: bridge.ip_address,
            ip_prefix_len: bridge.ip_prefix_len,
            ipv6_gateway: bridge.ipv6_gateway,
            mac_address: bridge.mac_address,
            ..LegacyNetworkSettings::default()
        });
    }
}
