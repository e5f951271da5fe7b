//! A subnet for every test that runs at the same time, in whatever process.

use std::fs::File;
use std::net::Ipv4Addr;

use rustix::fs::{FlockOperation, flock};

/// The first of the second octets from which subnets are taken: 10.200.0.0/24 to 10.231.255.0/24.
const BASE: u16 = 200;
/// How many subnets there are.
const COUNT: u16 = 32 * 256;

/// A /24 network that nobody else uses as long as this value lives.
#[derive(Debug)]
pub struct Subnet {
    number: u16,
    _lock: File,
}

impl Subnet {
    /// Takes a free one: none that another test holds, none that a route of the host leads to.
    ///
    /// # Panics
    /// If none is left or the lock folder cannot be written.
    pub fn take() -> Self {
        let folder = std::env::temp_dir().join("wharf-test-subnets");
        std::fs::create_dir_all(&folder).expect("the folder of subnet locks can be made");
        let routes = routes();
        let first = u16::try_from(std::process::id() % u32::from(COUNT)).expect("the remainder fits");
        (0..COUNT)
            .map(|step| (first + step) % COUNT)
            .filter(|&number| !routes.iter().any(|route| route.contains(network_of(number))))
            .find_map(|number| {
                let lock = File::create(folder.join(number.to_string())).ok()?;
                flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
                Some(Self { number, _lock: lock })
            })
            .expect("a free subnet between 10.200.0.0 and 10.231.255.0")
    }

    /// The address with this last octet.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c, _] = network_of(self.number).octets();
        Ipv4Addr::new(a, b, c, host)
    }

    /// The network in CIDR notation.
    pub fn cidr(&self) -> String {
        format!("{}/24", network_of(self.number))
    }
}

fn network_of(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, u8::try_from(BASE).expect("BASE is an octet") + high, low, 0)
}

struct Route {
    destination: u32,
    mask: u32,
}

impl Route {
    /// Whether the route leads to any address of the /24 `network`. The default route leads everywhere and counts nowhere.
    fn contains(&self, network: Ipv4Addr) -> bool {
        let shared = self.mask & 0xffff_ff00;
        self.mask != 0 && u32::from(network) & shared == self.destination & shared
    }
}

/// The IPv4 routes of the main table as /proc/net/route prints them: little-endian hexadecimal words.
fn routes() -> Vec<Route> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let word = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok().map(u32::swap_bytes);
            Some(Route { destination: word(1)?, mask: word(7)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_never_have_the_same() {
        let (first, second) = (Subnet::take(), Subnet::take());
        assert_ne!(first.cidr(), second.cidr());
    }

    #[test]
    fn a_route_of_the_host_is_avoided_and_the_default_route_is_not() {
        let wide = Route { destination: u32::from(Ipv4Addr::new(10, 0, 0, 0)), mask: 0xff00_0000 };
        let everything = Route { destination: 0, mask: 0 };
        assert!(wide.contains(Ipv4Addr::new(10, 200, 3, 0)));
        assert!(!everything.contains(Ipv4Addr::new(10, 200, 3, 0)));
    }
}
