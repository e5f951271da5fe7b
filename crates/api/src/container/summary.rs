//! One line of the list of containers: `GET /containers/json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HealthStatus, MountPoint, Status};
use crate::Map;
use crate::image::Descriptor;
use crate::network::EndpointSettings;
use crate::port::Protocol;

/// One container of the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Summary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// With leading slashes.
    pub names: Vec<String>,
    /// The image as it was asked for, or its id when the name has moved on.
    pub image: String,
    /// The image's id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// The image's manifest (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
    /// Program and arguments, joined by blanks.
    pub command: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Exposed and published ports.
    pub ports: Vec<PortSummary>,
    /// Bytes in its own layer; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes in all layers; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// In one word.
    pub state: Status,
    /// For people: `Up 5 minutes (healthy)`.
    pub status: String,
    /// A little of how it is tied to the host.
    pub host_config: SummaryHostConfig,
    /// Its health (API 1.52).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<SummaryHealth>,
    /// Its networks.
    pub network_settings: Option<SummaryNetworkSettings>,
    /// What is mounted in it.
    pub mounts: Vec<MountPoint>,
}

/// A port in the list: one entry per address of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortSummary {
    /// Address of the host; absent when not published.
    #[serde(rename = "IP", skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Port of the container.
    pub private_port: u16,
    /// Port of the host; absent when not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    /// Transport.
    #[serde(rename = "Type")]
    pub protocol: Protocol,
}

/// A little of how a container is tied to the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHostConfig {
    /// See [`super::HostConfig::network_mode`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// See [`super::HostConfig::annotations`] (API 1.46).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A container's health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryHealth {
    /// In one word.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: i64,
}

/// A container's networks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct SummaryNetworkSettings {
    /// By network name.
    pub networks: Map<String, EndpointSettings>,
}
