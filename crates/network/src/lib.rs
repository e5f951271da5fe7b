//! Bridges, veth pairs, addresses, nftables and published ports, over netlink.
//!
//! The engine decides (addresses from [`ipam`], bridges, the [`Firewall`]'s static rules) and writes the decision
//! down as a [`plan::SandboxPlan`]; a container's monitor carries it out with [`Sandbox`]. Everything here is
//! synchronous and starts no thread; no program and no C library is used.

mod bridge;
mod firewall;
mod host;
pub mod ipam;
#[cfg(test)]
mod lab;
mod netlink;
mod nft;
mod parent;
pub mod plan;
mod resolver;
mod rtnl;
mod sandbox;
mod subnet;
mod sysctl;

pub use bridge::{Bridge, BridgeConfig, bridge_mac, check_name as check_bridge_name, endpoint_mac};
pub use firewall::{Firewall, Guard, NetworkRules, Watch, forward_drops};
pub use host::{link_exists, link_names, remove_link, uplink_mtu, used_subnets};
pub use parent::{check_link, ensure_lone_parent, ensure_parent, noted_links, remove_noted};
pub use resolver::{RESOLVER, Redirect};
pub use sandbox::{Blank, Entered, Sandbox, sweep};
pub use subnet::Subnet;
