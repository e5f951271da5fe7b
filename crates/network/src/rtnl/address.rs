//! Addresses of interfaces.

use std::net::IpAddr;

use super::{family, to_address, with_octets};
use crate::netlink::{Attributes, Request};
use crate::subnet::{Subnet, from_bits};

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressInfo {
    /// Index of the interface.
    pub(crate) index: u32,
    /// The address.
    pub(crate) address: IpAddr,
    /// Prefix length in bits.
    pub(crate) prefix: u8,
}

impl AddressInfo {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = payload.split_at_checked(8)?;
        let attributes = Attributes(attributes);
        let address = attributes.get(libc::IFA_LOCAL).or_else(|| attributes.get(libc::IFA_ADDRESS))?;
        let index = u32::from_ne_bytes(header[4..8].try_into().ok()?);
        Some(AddressInfo { index, address: to_address(address)?, prefix: header[1] })
    }

    /// The subnet that the address lies in.
    pub(crate) fn subnet(&self) -> Option<Subnet> {
        Subnet::new(self.address, self.prefix).ok()
    }
}

/// Adds an address. IPv6 without duplicate address detection, which would keep it unusable for a second; the
/// allocator knows better.
pub(crate) fn write_address(request: &mut Request, index: u32, address: IpAddr, prefix: u8) {
    request.begin(libc::RTM_NEWADDR, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    let flags = if address.is_ipv4() { 0 } else { libc::IFA_F_NODAD as u8 };
    request.fixed(&header(family(address), prefix, flags, index));
    with_octets(address, |octets| {
        request.bytes(libc::IFA_LOCAL, octets).bytes(libc::IFA_ADDRESS, octets);
    });
    if let (IpAddr::V4(_), Ok(subnet)) = (address, Subnet::new(address, prefix))
        && prefix < 31
        && let IpAddr::V4(broadcast) = from_bits(subnet.last_bits(), true)
    {
        request.bytes(libc::IFA_BROADCAST, &broadcast.octets());
    }
}

pub(super) fn write_dump(request: &mut Request) {
    request.begin(libc::RTM_GETADDR, libc::NLM_F_DUMP);
    request.fixed(&header(0, 0, 0, 0));
}

/// `struct ifaddrmsg`.
fn header(family: u8, prefix: u8, flags: u8, index: u32) -> [u8; 8] {
    let [a, b, c, d] = index.to_ne_bytes();
    [family, prefix, flags, 0, a, b, c, d]
}
