//! Bodies of requests about containers, and their answers.

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig, Resources, RestartPolicy, flattened};
use crate::List;
use crate::network::NetworkingConfig;
use crate::port::{Port, PortMap};

/// `POST /containers/create`: a [`Config`] with two more fields in the same JSON object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// What the container is.
    #[serde(flatten, skip_deserializing)]
    pub config: Config,
    /// How it is tied to the host.
    pub host_config: Option<HostConfig>,
    /// Its networks.
    pub networking_config: Option<NetworkingConfig>,
}

flattened!(CreateRequest.config);

impl CreateRequest {
    /// Whether `port` is exposed or published.
    pub fn mentions_port(&self, port: Port) -> bool {
        let published = |host: &HostConfig| host.port_bindings.contains_key(&port);
        self.config.exposed_ports.contains_key(&port) || self.host_config.as_ref().is_some_and(published)
    }
}

/// The answer to a create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// The new container's id.
    pub id: String,
    /// Sentences for the person.
    pub warnings: Vec<String>,
}

/// `POST /containers/{id}/update`: [`Resources`] with some more fields in the same JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", default, rename_all = "PascalCase")]
pub struct UpdateRequest {
    /// New limits; 0, empty and `null` leave the old ones.
    #[serde(flatten, skip_deserializing)]
    pub resources: Resources,
    /// New restart policy; an unset name leaves the old one.
    pub restart_policy: RestartPolicy,
    /// Ports to publish in addition (an extension: Docker has no such field).
    #[serde(skip_serializing_if = "is_empty")]
    pub publish_add: PortMap,
    /// Published ports to take back (an extension). An empty host address or port means every one of the container's port.
    #[serde(skip_serializing_if = "is_empty")]
    pub publish_rm: PortMap,
}

fn is_empty(ports: &PortMap) -> bool {
    ports.is_empty()
}

flattened!(UpdateRequest.resources);

/// The answer to an update.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UpdateResponse {
    /// Sentences for the person.
    pub warnings: List<String>,
}

/// The answer to a wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitResponse {
    /// Why waiting failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
    /// The container's exit code.
    pub status_code: i64,
}

/// Why waiting failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WaitError {
    /// One sentence.
    pub message: String,
}

/// Processes of a container, as `ps` shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Top {
    /// A line per process, a text per column.
    pub processes: Vec<Vec<String>>,
    /// The columns' names.
    pub titles: Vec<String>,
}

/// A file that differs from the image's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// Absolute path in the container.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a file differs from the image's; a number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum ChangeKind {
    /// 0: its content or its metadata.
    Modified,
    /// 1: the image has none.
    Added,
    /// 2: only the image has it.
    Deleted,
}

impl From<ChangeKind> for u8 {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Modified => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        }
    }
}

impl TryFrom<u8> for ChangeKind {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(ChangeKind::Modified),
            1 => Ok(ChangeKind::Added),
            2 => Ok(ChangeKind::Deleted),
            _ => Err(format!("{number} is no kind of change")),
        }
    }
}

/// The answer to a prune of containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Ids.
    pub containers_deleted: List<String>,
    /// Bytes.
    pub space_reclaimed: u64,
}

/// The answer to a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CommitResponse {
    /// The new image's id, with `sha256:`.
    pub id: String,
}

/// About a path in a container: base64 of this JSON is the header `X-Docker-Container-Path-Stat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PathStat {
    /// The last component.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's `os.FileMode`: permission bits, and type bits from the top (bit 31 is a directory, bit 27 a symbolic link).
    pub mode: u32,
    /// RFC 3339.
    pub mtime: String,
    /// The target of a symbolic link.
    pub link_target: String,
}
