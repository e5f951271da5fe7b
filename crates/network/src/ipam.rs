//! Address management: pure data, no I/O.

use std::collections::BTreeSet;
use std::net::IpAddr;

use wharf_types::{Error, Result};

use crate::subnet::Subnet;

/// A range of address space that is cut into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The whole range.
    pub base: Subnet,
    /// Prefix length of the subnets cut from it.
    pub size: u8,
}

/// Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
pub fn default_pools() -> Vec<AddressPool> {
    Vec::new()
}

/// The first subnet of the pools that overlaps none of `used`.
///
/// # Errors
/// `Exhausted`, with Docker's text, when there is none.
pub fn choose_subnet(pools: &[AddressPool], used: &[Subnet]) -> Result<Subnet> {
    Err(Error::not_implemented(format!("{pools:?} {used:?}")))
}

/// The addresses of one subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocator {
    subnet: Subnet,
    taken: BTreeSet<u128>,
}

impl Allocator {
    /// An allocator for `subnet` that hands out addresses of `range` (the whole subnet when `None`). The network address, the IPv4 broadcast
    /// address and `reserved` (the gateway, other fixed addresses) are never handed out.
    ///
    /// # Errors
    /// `InvalidParameter` when the range or a reserved address lies outside the subnet.
    pub fn new(subnet: Subnet, range: Option<Subnet>, reserved: &[IpAddr]) -> Result<Self> {
        let _ = (range, reserved);
        Ok(Self { subnet, taken: BTreeSet::new() })
    }

    /// The subnet.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The address a gateway gets when nobody chose one: the first of the range, or of the subnet.
    pub fn default_gateway(subnet: Subnet, range: Option<Subnet>) -> Result<IpAddr> {
        Err(Error::not_implemented(format!("{subnet:?} {range:?}")))
    }

    /// The next free address after the one handed out last, so that an address is not used again at once.
    ///
    /// # Errors
    /// `Exhausted` when none is free.
    pub fn allocate(&mut self) -> Result<IpAddr> {
        Err(Error::exhausted("no available IPv4 addresses on this network's address pools"))
    }

    /// Takes this very address (`--ip`, or a container of an earlier engine).
    ///
    /// # Errors
    /// `InvalidParameter` outside the subnet, `Conflict` when it is taken.
    pub fn claim(&mut self, address: IpAddr) -> Result<()> {
        Err(Error::conflict(format!("{address}")))
    }

    /// Gives an address back; a free one is no error.
    pub fn release(&mut self, address: IpAddr) {
        self.taken.remove(&crate::subnet::to_bits(address));
    }
}
