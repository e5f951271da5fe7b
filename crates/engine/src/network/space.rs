//! The addresses of one network: an allocator for each of its subnets.

use std::net::IpAddr;

use wharf_network::ipam::Allocator;
use wharf_types::{Error, Kind, Result};

use super::record::Network;

/// The addresses of one network.
#[derive(Default)]
pub struct Space {
    pools: Vec<(Allocator, Option<IpAddr>)>,
}

/// One address that was given, and its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The address.
    pub address: IpAddr,
    /// Prefix length of its subnet in bits.
    pub prefix: u8,
    /// The gateway of its subnet.
    pub gateway: Option<IpAddr>,
}

impl Space {
    /// With nothing given but gateways and reserved addresses.
    ///
    /// # Errors
    /// `InvalidParameter` when one of those lies outside its subnet.
    pub fn of(network: &Network) -> Result<Self> {
        let allocator = |pool: &super::record::Pool| {
            let reserved: Vec<IpAddr> = pool.gateway.iter().chain(&pool.reserved).copied().collect();
            Allocator::new(pool.subnet, pool.range, &reserved).map(|allocator| (allocator, pool.gateway))
        };
        Ok(Self { pools: network.pools.iter().map(allocator).collect::<Result<_>>()? })
    }

    /// Gives the next free address of the family, of the first subnet that has one.
    ///
    /// # Errors
    /// `Exhausted`, in Docker's words, when all are taken.
    pub fn allocate(&mut self, network: &Network, ipv4: bool) -> Result<Given> {
        for (allocator, gateway) in self.pools.iter_mut().filter(|(a, _)| a.subnet().is_ipv4() == ipv4) {
            match allocator.allocate() {
                Ok(address) => return Ok(given(allocator, address, *gateway)),
                Err(error) if error.kind() == Kind::Exhausted => {}
                Err(error) => return Err(error),
            }
        }
        let version = if ipv4 { 4 } else { 6 };
        Err(Error::exhausted(format!(
            "no available IPv{version} addresses on this network's address pools: {} ({})",
            network.name, network.id
        ))
        .with_hint("remove containers that are not needed, or use a network with a larger subnet"))
    }

    /// Gives this very address.
    ///
    /// # Errors
    /// `InvalidParameter` when it lies in no subnet, `Forbidden` when it is taken.
    pub fn claim(&mut self, address: IpAddr) -> Result<Given> {
        let pool = self.pools.iter_mut().find(|(allocator, _)| allocator.subnet().contains(address));
        let (allocator, gateway) = pool.ok_or_else(|| {
            Error::invalid(format!("Invalid address {address}: It does not belong to any of this network's subnets"))
        })?;
        allocator.claim(address).map(|()| given(allocator, address, *gateway))
    }

    /// Takes an address back; one that was not given is no error.
    pub fn release(&mut self, address: IpAddr) {
        self.pools.iter_mut().for_each(|(allocator, _)| allocator.release(address));
    }
}

fn given(allocator: &Allocator, address: IpAddr, gateway: Option<IpAddr>) -> Given {
    Given { address, prefix: allocator.subnet().prefix(), gateway }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Driver, Pool};
    use super::*;

    fn network(subnets: &[&str]) -> Network {
        let pool = |subnet: &&str| {
            let subnet: wharf_network::Subnet = subnet.parse().unwrap();
            let gateway = Allocator::default_gateway(subnet, None).ok();
            Pool { subnet, range: None, gateway, reserved: Vec::new() }
        };
        let pools = subnets.iter().map(pool).collect();
        Network { pools, ..Network::new(crate::names::fresh_id(), "n", Driver::Macvlan) }
    }

    #[test]
    fn the_second_subnet_serves_when_the_first_is_full() {
        let network = network(&["10.0.0.0/30", "10.0.1.0/30", "fd00::/126"]);
        let mut space = Space::of(&network).unwrap();
        let mut next = |ipv4| space.allocate(&network, ipv4).map(|given| given.address.to_string());
        assert_eq!(next(true).unwrap(), "10.0.0.2");
        assert_eq!(next(true).unwrap(), "10.0.1.2");
        assert_eq!(next(false).unwrap(), "fd00::2");
        let full = next(true).unwrap_err();
        assert_eq!(full.kind(), Kind::Exhausted);
        assert!(full.to_string().starts_with("no available IPv4 addresses on this network's address pools: n ("));
        assert_eq!(space.claim("10.0.1.2".parse().unwrap()).unwrap_err().to_string(), "Address already in use");
        space.release("10.0.1.2".parse().unwrap());
        let again = space.claim("10.0.1.2".parse().unwrap()).unwrap();
        assert_eq!((again.prefix, again.gateway), (30, "10.0.1.1".parse().ok()));
        assert_eq!(space.claim("10.9.0.1".parse().unwrap()).unwrap_err().kind(), Kind::InvalidParameter);
    }
}
