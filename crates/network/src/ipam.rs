//! Address management: pure data, no I/O.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use wharf_types::{Error, Result};

use crate::subnet::{Subnet, from_bits, to_bits};

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

    /// The first subnet of the pool that overlaps none of `used`: jumps over whole used subnets, so that a large pool costs no more.
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

/// The addresses of one subnet.
///
/// Addresses are handed out in ascending order, each after the one before, and from the start again at the end: one that was given
/// back rests as long as possible, so that late packets and cached neighbours of its former owner do no harm.
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
    /// An allocator for `subnet` that hands out addresses of `range` (the whole subnet when `None`). The network address, the IPv4 broadcast
    /// address and `reserved` (the gateway, other fixed addresses) are never handed out.
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
    /// `InvalidParameter` outside the subnet or for its network or broadcast address, `Conflict` when it is taken.
    pub fn claim(&mut self, address: IpAddr) -> Result<()> {
        self.check_inside(address)?;
        let (lowest, highest) = usable(&self.subnet);
        if !(lowest..=highest).contains(&to_bits(address)) {
            return Err(Error::invalid(format!("no container can have the address {address} of {}", self.subnet)));
        }
        if !self.taken.insert(to_bits(address)) {
            return Err(
                Error::conflict("Address already in use").with_hint(format!("{address} belongs to another container"))
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use wharf_types::Kind;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_default_pools_are_dockers() {
        let mut used = Vec::new();
        let chosen: Vec<String> = (0..31)
            .map(|_| {
                used.push(choose_subnet(&default_pools(), &used).unwrap());
                used[used.len() - 1].to_string()
            })
            .collect();
        assert_eq!((chosen[0].as_str(), chosen[14].as_str()), ("172.17.0.0/16", "172.31.0.0/16"));
        assert_eq!((chosen[15].as_str(), chosen[30].as_str()), ("192.168.0.0/20", "192.168.240.0/20"));
        let full = choose_subnet(&default_pools(), &used).unwrap_err();
        assert_eq!(full.kind(), Kind::Exhausted);
        assert_eq!(full.to_string(), "all predefined address pools have been fully subnetted");
    }

    #[test]
    fn a_route_over_everything_leaves_no_subnet_and_no_endless_search() {
        assert!(choose_subnet(&default_pools(), &[subnet("128.0.0.0/1")]).is_err());
        let huge = AddressPool::new(subnet("::/0"), 128).unwrap();
        assert!(choose_subnet(&[huge], &[subnet("::/0")]).is_err());
        assert_eq!(choose_subnet(&[huge], &[subnet("::/1")]).unwrap(), subnet("8000::/128"));
        let top = AddressPool::new(subnet("255.255.255.0/24"), 26).unwrap();
        assert!(choose_subnet(&[top], &[subnet("255.255.255.0/24")]).is_err());
        assert!(AddressPool::new(subnet("10.0.0.0/8"), 7).is_err());
        assert!(AddressPool::new(subnet("10.0.0.0/8"), 33).is_err());
    }

    #[test]
    fn the_gateway_is_the_first_address() {
        let gateway = |subnet: &str, range: Option<&str>| {
            Allocator::default_gateway(subnet.parse().unwrap(), range.map(|range| range.parse().unwrap()))
                .unwrap()
                .to_string()
        };
        assert_eq!(gateway("172.17.0.0/16", None), "172.17.0.1");
        assert_eq!(gateway("172.17.0.0/16", Some("172.17.5.0/24")), "172.17.5.0");
        assert_eq!(gateway("fd00::/64", None), "fd00::1");
        assert_eq!(gateway("10.0.0.4/31", None), "10.0.0.4");
    }

    #[test]
    fn addresses_are_claimed_once_and_reserved_ones_never() {
        let gateway = address("10.0.0.1");
        let mut allocator = Allocator::new(subnet("10.0.0.0/29"), None, &[gateway]).unwrap();
        let wanted = address("10.0.0.4");
        allocator.claim(wanted).unwrap();
        assert_eq!(allocator.claim(wanted).unwrap_err().kind(), Kind::Conflict);
        assert_eq!(allocator.claim(gateway).unwrap_err().kind(), Kind::Conflict);
        for outside in ["10.0.0.0", "10.0.0.7", "10.0.0.8", "fd00::1"] {
            assert_eq!(allocator.claim(address(outside)).unwrap_err().kind(), Kind::InvalidParameter, "{outside}");
        }
        allocator.release(gateway);
        assert!(allocator.is_taken(gateway));
        let rest: Vec<String> =
            std::iter::from_fn(|| allocator.allocate().ok()).map(|found| found.to_string()).collect();
        assert_eq!(rest, ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(allocator.allocate().unwrap_err().kind(), Kind::Exhausted);
    }

    #[test]
    fn ranges_and_reserved_addresses_lie_inside() {
        let inside = subnet("10.0.0.0/24");
        assert!(Allocator::new(inside, Some(subnet("10.0.1.0/25")), &[]).is_err());
        assert!(Allocator::new(inside, Some(subnet("10.0.0.0/16")), &[]).is_err());
        assert!(Allocator::new(inside, None, &[address("10.0.1.1")]).is_err());
        let mut ranged = Allocator::new(inside, Some(subnet("10.0.0.128/30")), &[]).unwrap();
        let all: Vec<String> = std::iter::from_fn(|| ranged.allocate().ok()).map(|found| found.to_string()).collect();
        assert_eq!(all, ["10.0.0.128", "10.0.0.129", "10.0.0.130", "10.0.0.131"]);
        ranged.claim(address("10.0.0.5")).unwrap();
    }

    #[test]
    fn allocation_goes_on_after_a_restart() {
        let mut allocator = Allocator::new(subnet("10.0.0.0/24"), None, &[]).unwrap();
        allocator.resume_after(address("10.0.0.254"));
        assert_eq!(allocator.allocate().unwrap(), address("10.0.0.1"));
        allocator.resume_after(address("10.0.0.9"));
        assert_eq!(allocator.allocate().unwrap(), address("10.0.0.10"));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate,
        Claim(u8),
        Release(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Allocate),
            1 => (0..32_u8).prop_map(Step::Claim),
            2 => (0..32_u8).prop_map(Step::Release),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// Against a model: a set of taken addresses of 10.0.0.0/27, of which .1 is the gateway.
        #[test]
        fn the_allocator_never_gives_an_address_twice(steps in steps()) {
            let gateway = address("10.0.0.1");
            let mut allocator = Allocator::new(subnet("10.0.0.0/27"), None, &[gateway]).unwrap();
            let mut taken = HashSet::from([1_u8]);
            let host = |last: u8| IpAddr::from([10, 0, 0, last]);
            for step in steps {
                match step {
                    Step::Allocate => match allocator.allocate() {
                        Ok(IpAddr::V4(found)) => {
                            let last = found.octets()[3];
                            prop_assert!((2..=30).contains(&last));
                            prop_assert!(taken.insert(last), "{found} was taken");
                        }
                        other => {
                            prop_assert!(other.is_err());
                            prop_assert_eq!(taken.len(), 30);
                        }
                    },
                    Step::Claim(last) => {
                        let expected = (1..=30).contains(&last) && taken.insert(last);
                        prop_assert_eq!(allocator.claim(host(last)).is_ok(), expected);
                    }
                    Step::Release(last) => {
                        allocator.release(host(last));
                        if last != 1 {
                            taken.remove(&last);
                        }
                    }
                }
            }
        }

        #[test]
        fn a_released_address_rests_until_all_others_had_their_turn(count in 1..29_usize, seed in any::<prop::sample::Index>()) {
            let mut allocator = Allocator::new(subnet("10.0.0.0/27"), None, &[]).unwrap();
            let given: Vec<IpAddr> = (0..count).map(|_| allocator.allocate().unwrap()).collect();
            let released = given[seed.index(given.len())];
            allocator.release(released);
            for _ in 0..30 - count {
                prop_assert_ne!(allocator.allocate().unwrap(), released);
            }
            prop_assert_eq!(allocator.allocate().unwrap(), released);
        }

        /// Against trying every subnet of the pool in turn.
        #[test]
        fn the_first_free_subnet_is_chosen(used in prop::collection::vec((any::<u16>(), 18..=32_u8), 0..40), size in 20..=28_u8) {
            let used: Vec<Subnet> =
                used.into_iter().map(|(low, prefix)| Subnet::new(from_bits(0x0a00_0000 | u128::from(low), true), prefix).unwrap()).collect();
            let base = subnet("10.0.0.0/18");
            let candidates = (0..1_u128 << (size - 18)).map(|n| base.first_bits() + (n << (32 - size)));
            let expected = candidates
                .map(|bits| Subnet::new(from_bits(bits, true), size).unwrap())
                .find(|candidate| !used.iter().any(|subnet| subnet.overlaps(candidate)));
            let pool = AddressPool::new(base, size).unwrap();
            prop_assert_eq!(choose_subnet(&[pool], &used).ok(), expected);
        }
    }
}
