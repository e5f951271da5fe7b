//! What the host's own network looks like.

use wharf_types::{Error, Result};

use crate::subnet::Subnet;

/// The MTU in bytes of the interface that the default route uses; 1500 when there is none.
pub fn uplink_mtu() -> Result<u32> {
    Err(Error::not_implemented("uplink_mtu"))
}

/// The subnets of all addresses and routes of the host (default routes excepted), as [`crate::ipam::choose_subnet`] wants them.
pub fn used_subnets() -> Result<Vec<Subnet>> {
    Err(Error::not_implemented("used_subnets"))
}
