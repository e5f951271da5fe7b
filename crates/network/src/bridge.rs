//! The bridge of a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wharf_types::{Error, Result};

/// What a network's bridge looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeConfig {
    /// Name of the interface, at most 15 bytes.
    pub name: String,
    /// The gateway's address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// The gateway's IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
}

/// A bridge that exists on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Name of the interface.
    pub name: String,
    /// Kernel's index of the interface.
    pub index: u32,
}

impl Bridge {
    /// Creates the bridge, or adopts the one that is there, and gives it its addresses. Safe to repeat.
    ///
    /// # Errors
    /// `Conflict` when another interface or route of the host overlaps a subnet, or the name belongs to no bridge.
    pub fn ensure(config: &BridgeConfig) -> Result<Bridge> {
        Err(Error::not_implemented(config.name.clone()))
    }

    /// Removes the bridge; one that does not exist is no error.
    pub fn remove(name: &str) -> Result<()> {
        Err(Error::not_implemented(name))
    }

    /// Names of all bridges of the host that begin with `prefix`.
    pub fn list(prefix: &str) -> Result<Vec<String>> {
        Err(Error::not_implemented(prefix))
    }
}

/// The hardware address of an endpoint, from its IPv4 address as Docker does it: `02:42:` and the four bytes.
pub fn endpoint_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The hardware address of a bridge, from its gateway address, so that it is the same after a restart.
pub fn bridge_mac(gateway: IpAddr) -> [u8; 6] {
    match gateway {
        IpAddr::V4(address) => endpoint_mac(address),
        IpAddr::V6(address) => {
            let o = address.octets();
            [0x02, 0x42, o[12], o[13], o[14], o[15]]
        }
    }
}
