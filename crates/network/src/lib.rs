//! Bridges, veth pairs, addresses, nftables and published ports, over netlink.

pub mod plan;
