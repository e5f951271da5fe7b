//! The daemon itself.

mod disk_usage;
mod info;
pub mod upkeep;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use disk_usage::{BuildCache, DiskUsage, LegacyDiskUsage, Usage};
pub use info::{
    AddressPool, Commit, Containerd, ContainerdNamespaces, DeviceInfo, FirewallBackend, IndexConfig, Info, Plugins,
    RegistryConfig, Runtime, Swarm,
};

/// Names of the headers by which a daemon introduces itself, on `/_ping` and elsewhere.
pub mod header {
    /// The newest API version that is served.
    pub const API_VERSION: &str = "api-version";
    /// `1` for the classic builder, `2` for BuildKit.
    pub const BUILDER_VERSION: &str = "builder-version";
    /// `true` or `false`.
    pub const DOCKER_EXPERIMENTAL: &str = "docker-experimental";
    /// `linux`.
    pub const OSTYPE: &str = "ostype";
    /// `inactive`, ...
    pub const SWARM: &str = "swarm";
    /// About a path in a container, see [`crate::container::PathStat`].
    pub const PATH_STAT: &str = "x-docker-container-path-stat";
    /// Credentials for a registry: base64 (URL-safe) of [`super::AuthConfig`] as JSON.
    pub const REGISTRY_AUTH: &str = "x-registry-auth";
}

/// Content types of the streams that attach, exec and logs answer with.
pub mod content_type {
    /// Output of a terminal, as it comes; until API 1.41 every stream has this type.
    pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
    /// Frames of an 8-byte header and payload (API 1.42).
    pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";
}

/// What a daemon says of itself on `/_ping`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// The newest API version that is served.
    pub api_version: Option<crate::ApiVersion>,
    /// `linux`.
    pub os_type: String,
    /// The HTTP `Server` header.
    pub server: String,
    /// `1` or `2`.
    pub builder_version: String,
    /// Experimental features are on.
    pub experimental: bool,
    /// `inactive`, ...
    pub swarm: String,
}

/// `GET /version`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Version {
    /// The product.
    pub platform: PlatformName,
    /// Its parts.
    pub components: Vec<Component>,
    /// The daemon's version.
    pub version: String,
    /// The newest API version that is served.
    pub api_version: String,
    /// The oldest API version that is served.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// Commit of the source.
    pub git_commit: String,
    /// The compiler; Docker's own name for the field is kept.
    pub go_version: String,
    /// `linux`.
    pub os: String,
    /// The processor, in Go's spelling.
    pub arch: String,
    /// The kernel's version.
    pub kernel_version: String,
    /// Experimental features are on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub experimental: bool,
    /// RFC 3339; empty when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub build_time: String,
}

/// The product's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PlatformName {
    /// Empty, or the product's name.
    pub name: String,
}

/// A part of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// More about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// Credentials for a registry: `POST /auth`, and the header [`header::REGISTRY_AUTH`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// User.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// The registry.
    #[serde(rename = "serveraddress", skip_serializing_if = "String::is_empty")]
    pub server_address: String,
    /// A token in place of user and password.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    /// A bearer token.
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub registry_token: String,
}

impl std::fmt::Debug for AuthConfig {
    /// Without the secrets, so that none gets into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig").field("username", &self.username).field("server", &self.server_address).finish()
    }
}

/// The answer to `POST /auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct AuthResponse {
    /// A token in place of user and password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    /// One sentence.
    pub status: String,
}
