//! Ports of containers, `80/tcp`, and where they are published.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Empty, List, Map};

/// The ports that an image or container says it listens on.
pub type PortSet = Map<Port, Empty>;
/// Ports of the container and the host's addresses that lead there.
pub type PortMap = Map<Port, List<PortBinding>>;

/// A port of a container; `tcp` where the protocol is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// 0 to 65535.
    pub number: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Why a string is not a [`Port`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortError(String);

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid port {:?}: a port looks like 80, 80/tcp, 53/udp or 9/sctp", self.0)
    }
}

impl std::error::Error for PortError {}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" | "" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            "sctp" => Ok(Protocol::Sctp),
            _ => Err(PortError(text.to_owned())),
        }
    }
}

impl Port {
    /// `number` over TCP.
    pub fn tcp(number: u16) -> Self {
        Self { number, protocol: Protocol::Tcp }
    }

    /// `number` over UDP.
    pub fn udp(number: u16) -> Self {
        Self { number, protocol: Protocol::Udp }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let error = || PortError(text.to_owned());
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        Ok(Self { number: number.parse().map_err(|_| error())?, protocol: protocol.parse().map_err(|_| error())? })
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An address of the host that leads to a port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PortBinding {
    /// An address of the host; empty means all.
    pub host_ip: String,
    /// A port `8080` or range `8080-8090` of the host; empty means any free one.
    pub host_port: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_and_without_protocol() {
        assert_eq!("80".parse(), Ok(Port::tcp(80)));
        assert_eq!("53/udp".parse(), Ok(Port::udp(53)));
        assert_eq!("80/TCP".parse::<Port>().unwrap().to_string(), "80/tcp");
        for bad in ["", "/tcp", "x", "80/icmp", "70000", "-1", "+1", "80-90"] {
            assert!(bad.parse::<Port>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_is_a_key_and_its_bindings_may_be_null() {
        let text = r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}],"443/tcp":null}"#;
        let ports: PortMap = serde_json::from_str(text).unwrap();
        assert!(ports[&Port::tcp(443)].is_null());
        assert_eq!(serde_json::to_string(&ports).unwrap(), text);
    }
}
