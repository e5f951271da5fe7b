//! How a container is tied to its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mount, Resources, flattened};
use crate::port::PortMap;
use crate::{List, Map};

/// The part of a container's configuration that depends on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct HostConfig {
    /// `source:target[:options]`, source a path of the host or a volume's name.
    pub binds: List<String>,
    /// A file of the client's for the id; kept for show.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where the output goes.
    pub log_config: LogConfig,
    /// `bridge`, `none`, `host`, `container:<name|id>`, a network's name, or `default`.
    pub network_mode: String,
    /// Ports published on the host.
    pub port_bindings: PortMap,
    /// What to do when the container ends.
    pub restart_policy: RestartPolicy,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// The driver of volumes named in `binds`.
    pub volume_driver: String,
    /// `container[:ro|:rw]`: take over that container's volumes.
    pub volumes_from: List<String>,
    /// Initial height and width of the terminal in characters.
    pub console_size: [u16; 2],
    /// Annotations for the OCI runtime (API 1.43).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Capabilities to add, `ALL` for every one.
    pub cap_add: List<String>,
    /// Capabilities to drop, `ALL` for every one.
    pub cap_drop: List<String>,
    /// `private` or `host`; the daemon's default when empty.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: List<String>,
    /// Options of resolv.conf.
    pub dns_options: List<String>,
    /// Search domains.
    pub dns_search: List<String>,
    /// Lines for /etc/hosts as `name:address`.
    pub extra_hosts: List<String>,
    /// Supplementary groups, by name or number.
    pub group_add: List<String>,
    /// `none`, `private`, `shareable`, `container:<name|id>` or `host`; the daemon's default when empty.
    pub ipc_mode: String,
    /// Unused by Docker, kept for show.
    pub cgroup: String,
    /// Legacy links as `container:alias`.
    pub links: List<String>,
    /// -1000 to 1000, for the kernel's out-of-memory killer.
    pub oom_score_adj: i32,
    /// `container:<name|id>`, `host`, or empty for a namespace of its own.
    pub pid_mode: String,
    /// Everything the host may do.
    pub privileged: bool,
    /// Publish every exposed port on a free port of the host.
    pub publish_all_ports: bool,
    /// Mount the root file system read-only.
    pub readonly_rootfs: bool,
    /// `seccomp=`, `label=`, `apparmor=`, `no-new-privileges`, `systempaths=unconfined`.
    pub security_opt: List<String>,
    /// Options of the storage driver, for instance `size`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Places in the container that get a tmpfs, with its mount options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// `host`, or empty for a namespace of its own.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `host`, or empty for the daemon's default.
    pub userns_mode: String,
    /// Size of /dev/shm in bytes; 64 MiB when 0.
    pub shm_size: i64,
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The OCI runtime's name; the default one when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Windows only; empty elsewhere.
    pub isolation: String,
    /// Limits, in the same JSON object.
    #[serde(flatten, skip_deserializing)]
    pub resources: Resources,
    /// Mounts in the structured form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Paths to hide; Docker's own list when `null`.
    pub masked_paths: List<String>,
    /// Paths to make read-only; Docker's own list when `null`.
    pub readonly_paths: List<String>,
    /// Run a small init as the first process; the daemon's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

flattened!(HostConfig.resources);

/// The log driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogConfig {
    /// `json-file`, `local`, `none`, ...; the daemon's default when empty.
    #[serde(rename = "Type")]
    pub driver: String,
    /// The driver's options.
    pub config: Map<String, String>,
}

/// What to do when a container ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// When to start it again.
    pub name: RestartPolicyName,
    /// With [`RestartPolicyName::OnFailure`]: how often at most; 0 is without end.
    pub maximum_retry_count: i64,
}

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum RestartPolicyName {
    /// Not said, which means no.
    #[default]
    Unset,
    /// Never.
    No,
    /// Always, and when the daemon starts.
    Always,
    /// As always, but not when the daemon starts if it had been stopped by hand.
    UnlessStopped,
    /// When its exit code was not 0.
    OnFailure,
}

impl RestartPolicyName {
    /// As on the wire; empty for [`RestartPolicyName::Unset`].
    pub fn as_str(self) -> &'static str {
        match self {
            RestartPolicyName::Unset => "",
            RestartPolicyName::No => "no",
            RestartPolicyName::Always => "always",
            RestartPolicyName::UnlessStopped => "unless-stopped",
            RestartPolicyName::OnFailure => "on-failure",
        }
    }
}

impl From<RestartPolicyName> for &'static str {
    fn from(name: RestartPolicyName) -> Self {
        name.as_str()
    }
}

impl TryFrom<String> for RestartPolicyName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let all = [Self::Unset, Self::No, Self::Always, Self::UnlessStopped, Self::OnFailure];
        all.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            format!("invalid restart policy: unknown policy '{text}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'")
        })
    }
}
