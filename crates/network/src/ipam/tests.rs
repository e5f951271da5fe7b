use std::collections::HashSet;
use std::net::IpAddr;

use proptest::prelude::*;
use wharf_types::Kind;

use super::*;
use crate::subnet::{Subnet, from_bits};

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
    assert_eq!(allocator.claim(wanted).unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(allocator.claim(gateway).unwrap_err().kind(), Kind::Forbidden);
    for outside in ["10.0.0.0", "10.0.0.7", "10.0.0.8", "fd00::1"] {
        assert_eq!(allocator.claim(address(outside)).unwrap_err().kind(), Kind::InvalidParameter, "{outside}");
    }
    allocator.release(gateway);
    assert!(allocator.is_taken(gateway));
    let rest: Vec<String> = std::iter::from_fn(|| allocator.allocate().ok()).map(|found| found.to_string()).collect();
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
    fn a_released_address_rests_until_all_others_had_their_turn(
        count in 1..29_usize,
        seed in any::<prop::sample::Index>(),
    ) {
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
    fn the_first_free_subnet_is_chosen(
        used in prop::collection::vec((any::<u16>(), 18..=32_u8), 0..40),
        size in 20..=28_u8,
    ) {
        let below_ten = |low: u16| from_bits(0x0a00_0000 | u128::from(low), true);
        let used = used.into_iter().map(|(low, prefix)| Subnet::new(below_ten(low), prefix).unwrap());
        let used: Vec<Subnet> = used.collect();
        let base = subnet("10.0.0.0/18");
        let candidates = (0..1_u128 << (size - 18)).map(|n| base.first_bits() + (n << (32 - size)));
        let expected = candidates
            .map(|bits| Subnet::new(from_bits(bits, true), size).unwrap())
            .find(|candidate| !used.iter().any(|subnet| subnet.overlaps(candidate)));
        let pool = AddressPool::new(base, size).unwrap();
        prop_assert_eq!(choose_subnet(&[pool], &used).ok(), expected);
    }
}
