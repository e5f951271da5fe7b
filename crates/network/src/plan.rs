//! What the engine decides and the monitor carries out: a container's sandbox, its endpoints and its published ports.
//!
//! Plain data, with every choice (addresses, names, ports) already made.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The network side of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxPlan {
    /// A network namespace of its own. Without endpoints it has loopback only (`--network none`).
    Own {
        /// Interfaces, the one with the default route first.
        endpoints: Vec<EndpointPlan>,
        /// Published ports.
        ports: Vec<PortPlan>,
        /// The engine's nftables table, in which port elements are added and removed.
        table: String,
        /// net.* kernel parameters inside the namespace.
        sysctls: Vec<(String, String)>,
    },
    /// The host's network namespace.
    Host,
    /// Another container's, by path (`/proc/PID/ns/net`).
    Join(PathBuf),
}

/// One interface of a container: a veth pair whose host side is a port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPlan {
    /// Name of the bridge on the host.
    pub bridge: String,
    /// Name of the host side, at most 15 bytes.
    pub host_name: String,
    /// Name of the container side, for instance `eth0`.
    pub container_name: String,
    /// Hardware address of the container side.
    pub mac: [u8; 6],
    /// Address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Default gateway.
    pub gateway4: Option<Ipv4Addr>,
    /// IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// IPv6 default gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
}

/// Transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortPlan {
    /// Host address; the unspecified one publishes on all.
    pub host_ip: IpAddr,
    /// Host port.
    pub host_port: u16,
    /// Address of the container.
    pub container_ip: IpAddr,
    /// Port inside the container.
    pub container_port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl PortPlan {
    /// Whether the monitor passes the bytes on itself, because the kernel cannot translate the address: it never routes
    /// `::1`, and never makes IPv4 of IPv6.
    pub fn is_relayed(&self) -> bool {
        self.host_ip == IpAddr::V6(Ipv6Addr::LOCALHOST) || (self.host_ip.is_ipv6() && self.container_ip.is_ipv4())
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}
