//! The flags about networks, the same for `wharf engine` and `dockerd`.

use clap::Args;
use wharf_engine::{AddressPool, NetworkDefaults, Subnet};

/// What networks are like unless they say otherwise.
#[derive(Debug, Args)]
pub struct NetworkFlags {
    /// Where networks that name no subnet get theirs: base=172.30.0.0/16,size=24 (repeatable)
    #[arg(long, value_name = "pool-options", value_parser = pool)]
    default_address_pool: Vec<AddressPool>,
    /// Part of the default network's subnet from which containers get their addresses
    #[arg(long, value_name = "string", value_parser = subnet)]
    fixed_cidr: Option<Subnet>,
    /// IPv6 subnet of the default network
    #[arg(long, value_name = "string", value_parser = subnet)]
    fixed_cidr_v6: Option<Subnet>,
    /// Give containers of the default network IPv6 addresses, too
    #[arg(long)]
    ipv6: bool,
    /// MTU of the default network in bytes; the uplink's unless given
    #[arg(long, value_name = "int", value_parser = clap::value_parser!(u32).range(68..=65535))]
    mtu: Option<u32>,
    /// Let containers of the default network reach each other
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true)]
    icc: bool,
    /// Give packets of the default network that leave the host its address
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true)]
    ip_masq: bool,
}

impl NetworkFlags {
    /// As the engine wants it.
    pub fn defaults(self) -> NetworkDefaults {
        NetworkDefaults {
            address_pools: self.default_address_pool,
            mtu: self.mtu,
            ranges: self.fixed_cidr.into_iter().chain(self.fixed_cidr_v6).collect(),
            ipv6: self.ipv6,
            no_icc: !self.icc,
            no_masquerade: !self.ip_masq,
        }
    }
}

fn subnet(text: &str) -> Result<Subnet, String> {
    text.parse().map_err(|error: wharf_types::Error| error.to_string())
}

fn pool(text: &str) -> Result<AddressPool, String> {
    let (mut base, mut size) = (None, None);
    for field in text.split(',') {
        match field.trim().split_once('=') {
            Some(("base", value)) => base = Some(subnet(value)?),
            Some(("size", value)) => {
                size = Some(value.parse::<u8>().map_err(|_| format!("invalid size {value:?} of an address pool"))?);
            }
            _ => return Err(format!("unexpected field {field:?}; a pool is written as base=172.30.0.0/16,size=24")),
        }
    }
    let base = base.ok_or("an address pool needs a base=")?;
    AddressPool::new(base, size.ok_or("an address pool needs a size=")?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_read() {
        let read = pool("base=10.0.0.0/8,size=24").unwrap();
        assert_eq!((read.base.to_string().as_str(), read.size), ("10.0.0.0/8", 24));
        for text in ["", "base=10.0.0.0/8", "size=24", "base=10.0.0.0/8,size=7", "base=x,size=8", "base=10.0.0.0/8,x=1"]
        {
            assert!(pool(text).is_err(), "{text}");
        }
    }
}
