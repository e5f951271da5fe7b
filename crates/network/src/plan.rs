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
        /// Interfaces. In each family the first that has a gateway gives the default route.
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

impl SandboxPlan {
    /// The interfaces; none where the namespace is somebody else's.
    pub fn endpoints(&self) -> &[EndpointPlan] {
        match self {
            SandboxPlan::Own { endpoints, .. } => endpoints,
            SandboxPlan::Host | SandboxPlan::Join(_) => &[],
        }
    }
}

/// One interface of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPlan {
    /// The endpoint's id, 64 hexadecimal digits; empty in the plan of an engine before there were several.
    #[serde(default)]
    pub id: String,
    /// The network's id; empty as above.
    #[serde(default)]
    pub network: String,
    /// What kind of interface it is.
    #[serde(default)]
    pub link: Link,
    /// Name of the bridge on the host, or of the interface that a macvlan or ipvlan sits on.
    pub bridge: String,
    /// Name of the veth's host side, at most 15 bytes; empty for other kinds.
    pub host_name: String,
    /// Name of the container side, for instance `eth0`.
    pub container_name: String,
    /// Hardware address of the container side; an ipvlan has its parent's.
    pub mac: [u8; 6],
    /// Address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Default gateway.
    pub gateway4: Option<Ipv4Addr>,
    /// IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// IPv6 default gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// Further addresses of the link, with prefix lengths.
    #[serde(default)]
    pub link_local: Vec<(IpAddr, u8)>,
    /// Whether default routes lead straight into the interface (ipvlan in layer 3 mode).
    #[serde(default)]
    pub direct: bool,
    /// Maximum transmission unit in bytes; 0 leaves it to the kernel.
    pub mtu: u32,
    /// net.* kernel parameters of this interface, set once it is there.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
}

/// The kinds of interfaces that a container can have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A veth pair whose host side is a port of a bridge.
    #[default]
    Veth,
    /// A hardware address of its own on an interface of the host.
    Macvlan(MacvlanMode),
    /// The hardware address of an interface of the host, shared.
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// Who sees whom on the same parent (`macvlan_mode` of `linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MacvlanMode {
    /// Everyone sees everyone.
    Bridge,
    /// Nobody sees anybody.
    Private,
    /// By way of the switch behind the parent.
    Vepa,
    /// The parent belongs to one container alone.
    Passthru,
}

/// At which layer an ipvlan works (`ipvlan_mode` of `linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpvlanMode {
    /// Layer 2: with neighbours and broadcasts.
    L2,
    /// Layer 3: routed.
    L3,
    /// Layer 3 by way of the host's packet filter.
    L3s,
}

/// Who sees whom on the same parent (`IPVLAN_F_*` of `linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpvlanFlag {
    /// Everyone sees everyone.
    Bridge,
    /// Nobody sees anybody.
    Private,
    /// By way of the switch behind the parent.
    Vepa,
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
