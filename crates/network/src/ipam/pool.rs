//! Choosing the subnet of a network.

use std::net::Ipv4Addr;

use wharf_types::{Error, Result};

use crate::subnet::{Subnet, from_bits};

/// A range of address space that is cut into subnets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The whole range.
    pub base: Subnet,
    /// Prefix length of the subnets cut from it.
    pub size: u8,
}

impl AddressPool {
    /// A pool.
    ///
    /// # Errors
    /// `InvalidParameter` when the subnets would be larger than the range or longer than an address.
    pub fn new(base: Subnet, size: u8) -> Result<Self> {
        if size < base.prefix() || Subnet::new(base.address(), size).is_err() {
            return Err(Error::invalid(format!("invalid size /{size} of the subnets in the address pool {base}")));
        }
        Ok(Self { base, size })
    }

    /// The first subnet of the pool that overlaps none of `used`: jumps over whole used subnets, so that a large pool
    /// costs no more.
    fn first_free(&self, used: &[Subnet]) -> Option<Subnet> {
        let mut candidate = Subnet::new(self.base.address(), self.size).ok()?;
        while self.base.contains(candidate.address()) {
            let Some(obstacle) = used.iter().find(|subnet| subnet.overlaps(&candidate)) else { return Some(candidate) };
            let next = obstacle.last_bits().max(candidate.last_bits()).checked_add(1)?;
            let limit = if candidate.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
            if next > limit {
                return None;
            }
            candidate = align_up(next, self.size, candidate.is_ipv4())?;
        }
        None
    }
}

/// The subnet of this size that begins at `bits` or next after.
fn align_up(bits: u128, size: u8, ipv4: bool) -> Option<Subnet> {
    let subnet = Subnet::new(from_bits(bits, ipv4), size).ok()?;
    if subnet.first_bits() == bits {
        return Some(subnet);
    }
    let next = subnet.last_bits().checked_add(1).filter(|next| !ipv4 || *next <= u128::from(u32::MAX))?;
    Subnet::new(from_bits(next, ipv4), size).ok()
}

/// Docker's default pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
pub fn default_pools() -> Vec<AddressPool> {
    let sixteens = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let twenties = std::iter::once((Ipv4Addr::new(192, 168, 0, 0), 20));
    let pools = sixteens.chain(twenties);
    pools.filter_map(|(base, size)| AddressPool::new(Subnet::new(base.into(), 16).ok()?, size).ok()).collect()
}

/// The first subnet of the pools that overlaps none of `used`.
///
/// # Errors
/// `Exhausted`, with Docker's text, when there is none.
pub fn choose_subnet(pools: &[AddressPool], used: &[Subnet]) -> Result<Subnet> {
    pools.iter().find_map(|pool| pool.first_free(used)).ok_or_else(|| {
        Error::exhausted("all predefined address pools have been fully subnetted")
            .with_hint("remove unused networks, or give the new one a subnet with --subnet")
    })
}
