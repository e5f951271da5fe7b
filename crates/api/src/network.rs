//! Networks, and how containers are connected to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{List, Map};

/// How a new container is connected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkingConfig {
    /// By network name.
    pub endpoints_config: Map<String, Option<EndpointSettings>>,
}

/// How a container is connected to one network: what was asked for, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointSettings {
    /// Addresses asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// Legacy links.
    pub links: List<String>,
    /// Link-layer address, asked for or given.
    pub mac_address: String,
    /// Further names on this network.
    pub aliases: List<String>,
    /// The driver's options.
    pub driver_opts: Map<String, String>,
    /// The network of the highest priority gives the default gateway (API 1.48).
    pub gw_priority: i64,
    /// Network id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Endpoint id; empty when not connected.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// IPv4 prefix length.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// IPv6 prefix length.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// All names by which it answers on this network (API 1.44).
    #[serde(rename = "DNSNames")]
    pub dns_names: List<String>,
}

/// Addresses asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpamConfig {
    /// IPv4.
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    pub ipv6_address: String,
    /// Link-local.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
}

/// A network: `GET /networks` and `GET /networks/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Network {
    /// Name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// `local`, `swarm` or `global`.
    pub scope: String,
    /// `bridge`, `host`, `null`, ...
    pub driver: String,
    /// Has IPv4 (API 1.48).
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Has IPv6.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// No way out.
    pub internal: bool,
    /// Open to containers by hand (swarm).
    pub attachable: bool,
    /// The routing mesh (swarm).
    pub ingress: bool,
    /// The network whose configuration it takes.
    pub config_from: ConfigReference,
    /// No network, only a configuration for others.
    pub config_only: bool,
    /// Containers on it, by id; only when inspected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<BTreeMap<String, EndpointResource>>,
    /// The driver's options.
    pub options: Map<String, String>,
    /// Labels.
    pub labels: Map<String, String>,
}

/// How a network's addresses are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// The driver's options.
    pub options: Map<String, String>,
    /// Subnets.
    pub config: List<IpamConfig>,
}

/// A subnet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct IpamConfig {
    /// `10.0.0.0/24`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// The part from which addresses are given.
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// The gateway's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses that others hold, by name.
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// The network whose configuration another takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ConfigReference {
    /// Its name; empty for none.
    pub network: String,
}

/// A container on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct EndpointResource {
    /// The container's name, without slash.
    pub name: String,
    /// Endpoint id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Link-layer address.
    pub mac_address: String,
    /// With prefix length.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// With prefix length.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// `POST /networks/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateRequest {
    /// Name.
    pub name: String,
    /// `bridge` when empty.
    pub driver: String,
    /// `local` when empty.
    pub scope: String,
    /// Without effect since long; names are always unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_duplicate: Option<bool>,
    /// Has IPv4; true when absent (API 1.48).
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Has IPv6.
    #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Addresses; the daemon chooses when absent.
    #[serde(rename = "IPAM")]
    pub ipam: Option<Ipam>,
    /// No way out.
    pub internal: bool,
    /// Open to containers by hand (swarm).
    pub attachable: bool,
    /// The routing mesh (swarm).
    pub ingress: bool,
    /// No network, only a configuration for others.
    pub config_only: bool,
    /// The network whose configuration it takes.
    pub config_from: Option<ConfigReference>,
    /// The driver's options.
    pub options: Map<String, String>,
    /// Labels.
    pub labels: Map<String, String>,
}

/// The answer to a create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// The new network's id.
    pub id: String,
    /// A sentence for the person; empty for none.
    pub warning: String,
}

/// `POST /networks/{id}/connect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ConnectRequest {
    /// Name or id.
    pub container: String,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_config: Option<EndpointSettings>,
}

/// `POST /networks/{id}/disconnect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DisconnectRequest {
    /// Name or id.
    pub container: String,
    /// Even if the container cannot be reached.
    pub force: bool,
}

/// The answer to a prune of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PruneReport {
    /// Names.
    pub networks_deleted: List<String>,
}
