//! What was asked for when a container was created, with everything resolved that later changes must not touch.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wharf_api::container::{Config, HostConfig, MountType, NetworkingConfig, RestartPolicyName};
use wharf_api::network::EndpointSettings;
use wharf_api::port::{Port, PortBinding, PortMap, Protocol as ApiProtocol};
use wharf_network::plan::Protocol;
use wharf_types::{Digest, Error, Id, Result};

use crate::network::PortRequest;

/// A container as it was created. Replaced as a whole by rename and update, never changed in place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: Id,
    /// Its unique name, without a slash.
    pub name: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The image's id.
    pub image: Digest,
    /// The layer folders of the image, topmost first.
    pub layers: Vec<PathBuf>,
    /// The image's layers as uncompressed content, base first: what must stay while the container exists.
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
    /// What to run, merged from the request and the image.
    pub config: Config,
    /// How it is tied to the host, as requested, defaults filled in.
    pub host_config: HostConfig,
    /// What the request said about its endpoints.
    #[serde(default)]
    pub networking: NetworkingConfig,
    /// What is mounted in it, parents first.
    #[serde(default)]
    pub mounts: Vec<MountRecord>,
}

/// A mount with its source resolved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountRecord {
    /// Bind, volume or tmpfs.
    pub kind: MountType,
    /// The volume's name.
    #[serde(default)]
    pub volume: Option<String>,
    /// Whether the volume was made for this container alone and goes with it (`rm -v`, `--rm`).
    #[serde(default)]
    pub anonymous: bool,
    /// Path on the host; empty for a tmpfs; an image's name.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: String,
    /// The mode as it was written (`ro,z`).
    #[serde(default)]
    pub mode: String,
    /// Whether it can be written to.
    pub writable: bool,
    /// Propagation as mount(8) calls it; empty for the default.
    #[serde(default)]
    pub propagation: String,
    /// Options of a tmpfs.
    #[serde(default)]
    pub options: Vec<String>,
    /// Leave out what is mounted below the source.
    #[serde(default)]
    pub non_recursive: bool,
    /// Of a read-only mount, leave writable what is mounted below the source.
    #[serde(default)]
    pub read_only_top: bool,
    /// The part of a volume or an image that is mounted; empty for all of it.
    #[serde(default)]
    pub subpath: String,
    /// Driver and options of a volume that is made for this mount.
    #[serde(default)]
    pub driver: String,
    /// The layers of an image that is mounted, topmost first.
    #[serde(default)]
    pub layers: Vec<PathBuf>,
    /// The same as uncompressed content: what must stay while the container exists.
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
}

/// When to start a container again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Never.
    No,
    /// Whenever it ends.
    Always,
    /// Whenever it ends, unless a person stopped it.
    UnlessStopped,
    /// When its exit code is not zero.
    OnFailure {
        /// At most this often; 0 is without limit.
        most: u32,
    },
}

/// Which network a container is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// One of the engine's, by name or id.
    Named(String),
    /// That of another container, by id.
    Container(String),
}

impl Record {
    /// Whether it is started in a network namespace of its own.
    pub fn has_own_network(&self) -> bool {
        matches!(self.network_mode(), NetworkMode::Named(name) if name != "host")
    }

    /// Whether it is removed when it ends.
    pub fn auto_remove(&self) -> bool {
        self.host_config.auto_remove
    }

    /// When to start it again.
    pub fn restart_policy(&self) -> RestartPolicy {
        let policy = &self.host_config.restart_policy;
        match policy.name {
            RestartPolicyName::Unset | RestartPolicyName::No => RestartPolicy::No,
            RestartPolicyName::Always => RestartPolicy::Always,
            RestartPolicyName::UnlessStopped => RestartPolicy::UnlessStopped,
            RestartPolicyName::OnFailure => {
                RestartPolicy::OnFailure { most: u32::try_from(policy.maximum_retry_count).unwrap_or(0) }
            }
        }
    }

    /// All content that must stay while the container exists.
    pub fn all_diff_ids(&self) -> Vec<Digest> {
        let mounted = self.mounts.iter().flat_map(|mount| &mount.diff_ids);
        self.diff_ids.iter().chain(mounted).copied().collect()
    }

    /// The volumes that it mounts.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| mount.volume.as_deref())
    }

    /// Whether its health is checked.
    pub fn has_health_check(&self) -> bool {
        let test = self.config.healthcheck.as_ref().and_then(|health| health.test.first());
        test.is_some_and(|kind| kind != "NONE")
    }

    /// Program and arguments.
    pub fn argv(&self) -> Vec<String> {
        self.config.entrypoint.iter().chain(self.config.cmd.iter()).cloned().collect()
    }

    /// The host name inside.
    pub fn hostname(&self) -> String {
        if self.config.hostname.is_empty() { self.id.short() } else { self.config.hostname.clone() }
    }

    /// Which network it is on.
    pub fn network_mode(&self) -> NetworkMode {
        let mode = self.host_config.network_mode.as_str();
        match mode.strip_prefix("container:") {
            Some(id) => NetworkMode::Container(id.to_owned()),
            None if matches!(mode, "" | "default") => NetworkMode::Named("bridge".into()),
            None => NetworkMode::Named(mode.to_owned()),
        }
    }

    /// The networks that it is on, by name, with what was asked for on each; that of its mode first.
    pub fn networks(&self) -> impl Iterator<Item = (&str, Option<&EndpointSettings>)> {
        let listed = self.networking.endpoints_config.iter();
        let mut all: Vec<_> = listed.map(|(name, settings)| (name.as_str(), settings.as_ref())).collect();
        all.sort_by_key(|(name, _)| (!self.is_mode(name), *name));
        all.into_iter()
    }

    /// Whether its mode means this network, one of those that it is on.
    pub fn is_mode(&self, network: &str) -> bool {
        let NetworkMode::Named(mode) = self.network_mode() else { return false };
        let settings = self.networking.endpoints_config.get(network).and_then(Option::as_ref);
        mode == network || settings.is_some_and(|own| mode.len() >= 12 && own.network_id.starts_with(&mode))
    }

    /// The cgroup that the person wants above the container's own.
    pub fn cgroup_parent(&self) -> Option<&str> {
        Some(self.host_config.resources.cgroup_parent.as_str()).filter(|parent| !parent.is_empty())
    }

    /// Host names that the person wants in /etc/hosts: name and address.
    pub fn extra_hosts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.host_config.extra_hosts.iter().filter_map(|line| line.split_once([':', '=']))
    }

    /// Kernel parameters of the network namespace, which the network sets before the program starts.
    pub fn network_sysctls(&self) -> Vec<(String, String)> {
        let all = self.host_config.sysctls.iter();
        all.filter(|(name, _)| name.starts_with("net.")).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The ports to publish.
    ///
    /// # Errors
    /// `InvalidParameter` for an address or port that is none.
    pub fn port_requests(&self) -> Result<Vec<PortRequest>> {
        let mut requests = port_requests(&self.host_config.port_bindings)?;
        if self.host_config.publish_all_ports {
            for port in self.config.exposed_ports.keys() {
                if !self.host_config.port_bindings.contains_key(port) {
                    let (container_port, protocol) = (port.number, protocol(port.protocol));
                    requests.push(PortRequest { host_ip: None, host_ports: None, container_port, protocol });
                }
            }
        }
        Ok(requests)
    }

    /// Whether the engine chooses any of the host's ports.
    pub fn has_dynamic_ports(&self) -> bool {
        self.port_requests().is_ok_and(|requests| requests.iter().any(|request| request.host_ports.is_none()))
    }

    /// What every event about the container carries.
    pub fn event_attributes(&self) -> Vec<(String, String)> {
        let own = [("image".to_owned(), self.config.image.clone()), ("name".to_owned(), self.name.clone())];
        let labels = self.config.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        labels.chain(own).collect()
    }

    /// The log driver's name.
    pub fn log_driver(&self) -> &str {
        match self.host_config.log_config.driver.as_str() {
            "" => "json-file",
            driver => driver,
        }
    }
}

/// The ports that the API's words ask for.
///
/// # Errors
/// As [`Record::port_requests`].
pub fn port_requests(bindings: &PortMap) -> Result<Vec<PortRequest>> {
    let one = |port: &Port, binding: &PortBinding| {
        let (host_ip, host_ports) = parse_binding(binding)?;
        let (container_port, protocol) = (port.number, protocol(port.protocol));
        Ok(PortRequest { host_ip, host_ports, container_port, protocol })
    };
    bindings.iter().flat_map(|(port, all)| all.iter().map(move |binding| one(port, binding))).collect()
}

/// Docker's protocol as the network's.
pub fn protocol(protocol: ApiProtocol) -> Protocol {
    match protocol {
        ApiProtocol::Tcp => Protocol::Tcp,
        ApiProtocol::Udp => Protocol::Udp,
        ApiProtocol::Sctp => Protocol::Sctp,
    }
}

/// Host address and ports; nothing where the person left the choice to the engine.
type Binding = (Option<IpAddr>, Option<(u16, u16)>);

fn parse_binding(binding: &PortBinding) -> Result<Binding> {
    let host_ip = match binding.host_ip.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Error::invalid(format!("invalid IP address in port mapping: {text}")))?),
    };
    let number = |text: &str| {
        let parsed = text.parse::<u16>();
        parsed.map_err(|_| Error::invalid(format!("invalid publish port {text:?}: a port is a number up to 65535")))
    };
    let ports = match binding.host_port.split_once('-') {
        _ if matches!(binding.host_port.as_str(), "" | "0") => None,
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => Some(number(&binding.host_port)?).map(|port| (port, port)),
    };
    match ports {
        Some((first, last)) if first > last => {
            Err(Error::invalid(format!("invalid range for publish port: {}", binding.host_port)))
        }
        ports => Ok((host_ip, ports)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host_ip: &str, host_port: &str) -> PortBinding {
        PortBinding { host_ip: host_ip.into(), host_port: host_port.into() }
    }

    #[test]
    fn bindings_are_read_in_every_form() {
        assert_eq!(parse_binding(&binding("", "")).unwrap(), (None, None));
        assert_eq!(parse_binding(&binding("", "80")).unwrap(), (None, Some((80, 80))));
        assert_eq!(parse_binding(&binding("::1", "80")).unwrap().0, "::1".parse().ok());
        assert_eq!(parse_binding(&binding("127.0.0.1", "80-82")).unwrap().1, Some((80, 82)));
        for (ip, port) in [("x", "80"), ("", "x"), ("", "70000"), ("", "82-80"), ("", "-")] {
            assert!(parse_binding(&binding(ip, port)).is_err(), "{ip} {port}");
        }
    }
}
