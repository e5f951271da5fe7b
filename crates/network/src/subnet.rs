//! An IPv4 or IPv6 subnet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wharf_types::{Error, Result};

/// A subnet: an address whose host bits are zero, and a prefix length. Displays and parses as `172.17.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet that `address` lies in; host bits are cleared.
    ///
    /// # Errors
    /// `InvalidParameter` when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self> {
        if prefix > width(address) {
            return Err(Error::invalid(format!("invalid prefix length /{prefix} for {address}")));
        }
        let base = to_bits(address) & !host_mask(width(address), prefix);
        Ok(Self { address: from_bits(base, address.is_ipv4()), prefix })
    }

    /// The first address (the network address).
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether this is an IPv4 subnet.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// The last address (in IPv4, the broadcast address).
    pub fn last(&self) -> IpAddr {
        from_bits(self.last_bits(), self.is_ipv4())
    }

    /// Whether `address` lies in the subnet.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && (self.first_bits()..=self.last_bits()).contains(&to_bits(address))
    }

    /// Whether the two subnets share an address.
    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    pub(crate) fn first_bits(&self) -> u128 {
        to_bits(self.address)
    }

    pub(crate) fn last_bits(&self) -> u128 {
        to_bits(self.address) | host_mask(width(self.address), self.prefix)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> String {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("invalid CIDR address: {text}"));
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        Self::new(address.parse().map_err(|_| invalid())?, prefix.parse().map_err(|_| invalid())?)
            .map_err(|_| invalid())
    }
}

pub(crate) fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

pub(crate) fn from_bits(bits: u128, ipv4: bool) -> IpAddr {
    if ipv4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn host_mask(width: u8, prefix: u8) -> u128 {
    let host_bits = u32::from(width - prefix);
    if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn subnets() -> impl Strategy<Value = Subnet> {
        let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| Subnet::new(Ipv4Addr::from(bits).into(), prefix));
        let v6 =
            (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| Subnet::new(Ipv6Addr::from(bits).into(), prefix));
        prop_oneof![v4, v6].prop_map(Result::unwrap)
    }

    proptest! {
        #[test]
        fn text_is_parsed_as_it_was_written(subnet in subnets()) {
            prop_assert_eq!(subnet.to_string().parse::<Subnet>().unwrap(), subnet);
            prop_assert!(subnet.contains(subnet.address()) && subnet.contains(subnet.last()));
        }

        #[test]
        fn subnets_overlap_when_one_lies_in_the_other(a in subnets(), b in subnets()) {
            prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
            prop_assert!(a.overlaps(&a));
            let holds = |outer: &Subnet, inner: &Subnet| outer.contains(inner.address()) && outer.contains(inner.last());
            let nested = holds(&a, &b) || holds(&b, &a);
            prop_assert_eq!(a.overlaps(&b), nested);
        }
    }

    #[test]
    fn nonsense_is_refused_as_docker_refuses_it() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/9", "x/1"] {
            assert_eq!(text.parse::<Subnet>().unwrap_err().to_string(), format!("invalid CIDR address: {text}"));
        }
    }
}
