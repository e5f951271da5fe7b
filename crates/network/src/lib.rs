//! Bridges, veth pairs, addresses, nftables and published ports, over netlink.
//!
//! The engine decides (addresses from [`ipam`], bridges, the [`Firewall`]'s static rules) and writes the decision down as a
//! [`plan::SandboxPlan`]; a container's monitor carries it out with [`Sandbox`]. Everything here is synchronous and starts
//! no thread; no program and no C library is used.

mod bridge;
mod firewall;
mod host;
pub mod ipam;
pub mod plan;
mod sandbox;
mod subnet;

pub use bridge::{Bridge, BridgeConfig, bridge_mac, endpoint_mac};
pub use firewall::{Firewall, NetworkRules};
pub use host::{uplink_mtu, used_subnets};
pub use sandbox::{Entered, Sandbox};
pub use subnet::Subnet;
