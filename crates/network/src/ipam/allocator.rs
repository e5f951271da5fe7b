//! Choosing the addresses of a network's containers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use wharf_types::{Error, Result};

use crate::subnet::{Subnet, from_bits, to_bits};

/// The addresses of one subnet.
///
/// Addresses are handed out in ascending order, each after the one before, and from the start again at the end: one
/// that was given back rests as long as possible, so that late packets and cached neighbours of its former owner do
/// no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocator {
    subnet: Subnet,
    first: u128,
    last: u128,
    reserved: BTreeSet<u128>,
    taken: BTreeSet<u128>,
    previous: Option<u128>,
}

impl Allocator {
    /// An allocator for `subnet` that hands out addresses of `range` (the whole subnet when `None`). The network
    /// address, the IPv4 broadcast address and `reserved` (the gateway, other fixed addresses) are never handed out.
    ///
    /// # Errors
    /// `InvalidParameter` when the range or a reserved address lies outside the subnet.
    pub fn new(subnet: Subnet, range: Option<Subnet>, reserved: &[IpAddr]) -> Result<Self> {
        let range = range.unwrap_or(subnet);
        if !subnet.contains(range.address()) || range.prefix() < subnet.prefix() {
            return Err(Error::invalid(format!("the address range {range} lies outside the subnet {subnet}")));
        }
        let (lowest, highest) = usable(&subnet);
        let first = range.first_bits().max(lowest);
        let last = range.last_bits().min(highest);
        let mut allocator =
            Self { subnet, first, last, reserved: BTreeSet::new(), taken: BTreeSet::new(), previous: None };
        for address in reserved {
            allocator.check_inside(*address)?;
            allocator.reserved.insert(to_bits(*address));
        }
        allocator.taken.clone_from(&allocator.reserved);
        Ok(allocator)
    }

    /// The subnet.
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The address a gateway gets when nobody chose one: the first of the range, or of the subnet.
    ///
    /// # Errors
    /// `InvalidParameter` when the subnet has no room for a gateway.
    pub fn default_gateway(subnet: Subnet, range: Option<Subnet>) -> Result<IpAddr> {
        let mut allocator = Self::new(subnet, range, &[])?;
        allocator.allocate().map_err(|_| Error::invalid(format!("the subnet {subnet} has no room for a gateway")))
    }

    /// The next free address after the one handed out last, so that an address is not used again at once.
    ///
    /// # Errors
    /// `Exhausted`, with Docker's text, when none is free.
    pub fn allocate(&mut self) -> Result<IpAddr> {
        let start = self.previous.map_or(self.first, |previous| previous.saturating_add(1)).max(self.first);
        let found = self.first_free(start, self.last).or_else(|| self.first_free(self.first, start.saturating_sub(1)));
        let Some(bits) = found else {
            let version = if self.subnet.is_ipv4() { 4 } else { 6 };
            return Err(Error::exhausted(format!(
                "no available IPv{version} addresses on this network's address pools: {}",
                self.subnet
            ))
            .with_hint("remove containers that are not needed, or use a network with a larger subnet"));
        };
        self.taken.insert(bits);
        self.previous = Some(bits);
        Ok(from_bits(bits, self.subnet.is_ipv4()))
    }

    /// Takes this very address (`--ip`, or a container of an earlier engine).
    ///
    /// # Errors
    /// `InvalidParameter` outside the subnet or for its network or broadcast address, `Forbidden` when it is taken, as with
    /// Docker.
    pub fn claim(&mut self, address: IpAddr) -> Result<()> {
        self.check_inside(address)?;
        let (lowest, highest) = usable(&self.subnet);
        if !(lowest..=highest).contains(&to_bits(address)) {
            return Err(Error::invalid(format!("no container can have the address {address} of {}", self.subnet)));
        }
        if !self.taken.insert(to_bits(address)) {
            return Err(
                Error::forbidden("Address already in use").with_hint(format!("{address} belongs to another container"))
            );
        }
        Ok(())
    }

    /// Gives an address back; a free one is no error, and reserved ones stay reserved.
    pub fn release(&mut self, address: IpAddr) {
        let bits = to_bits(address);
        if self.subnet.contains(address) && !self.reserved.contains(&bits) {
            self.taken.remove(&bits);
        }
    }

    /// Whether the address is taken or reserved.
    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.subnet.contains(address) && self.taken.contains(&to_bits(address))
    }

    /// Lets allocation go on after this address, as after a restart of the engine.
    pub fn resume_after(&mut self, address: IpAddr) {
        if self.subnet.contains(address) {
            self.previous = Some(to_bits(address));
        }
    }

    fn first_free(&self, from: u128, to: u128) -> Option<u128> {
        if from > to || from > self.last {
            return None;
        }
        let to = to.min(self.last);
        let mut candidate = from;
        for taken in self.taken.range(from..=to) {
            if *taken != candidate {
                return Some(candidate);
            }
            candidate = taken.checked_add(1)?;
        }
        (candidate <= to).then_some(candidate)
    }

    fn check_inside(&self, address: IpAddr) -> Result<()> {
        if self.subnet.contains(address) {
            return Ok(());
        }
        Err(Error::invalid(format!("the address {address} does not lie in the subnet {}", self.subnet)))
    }
}

/// The first and the last address that an interface can have (RFC 3021: both of a /31, the one of a /32).
fn usable(subnet: &Subnet) -> (u128, u128) {
    let (first, last) = (subnet.first_bits(), subnet.last_bits());
    match last - first {
        0 | 1 => (first, last),
        _ if subnet.is_ipv4() => (first + 1, last - 1),
        _ => (first + 1, last),
    }
}
