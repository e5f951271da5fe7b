//! The way from 127.0.0.11:53 inside a container to the monitor's sockets.
//!
//! The monitor listens on another port of that address, so that a name server in the container can have port 53 on every
//! address. Packets on loopback get one port number in place of the other, without the connection tracking that all of
//! the container's traffic would have to pay for.

use std::net::Ipv4Addr;

use wharf_types::{Result, ResultExt};

use crate::netlink::{Socket, accept};
use crate::nft::Verdict::Jump;
use crate::nft::{ChainSpec, Expr, Family, Hook, Meta, Reg, Transaction};

/// Where containers on networks with names find their name server, as with Docker.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const TABLE: &str = "wharf-names";
const OUTPUT: &str = "output";
const LOOPBACK: &str = "loopback";
const PORT: u16 = 53;
/// `NFT_TABLE_F_OWNER`: nobody inside flushes it by accident.
const OWNER: u32 = 2;
const R0: Reg = Reg(0);
/// Offsets in the IPv4 header.
const SOURCE: u8 = 12;
const DESTINATION: u8 = 16;
/// Protocol number and the offset of its checksum.
const PROTOCOLS: [(&[u8], u8); 2] = [(&[17], 6), (&[6], 16)];

/// The redirection; holds as long as the namespace does.
#[derive(Debug)]
pub struct Redirect {
    /// The table's owner.
    _socket: Socket,
}

impl Redirect {
    /// Leads [`RESOLVER`], port 53, to its port `port`, in the calling thread's namespace.
    ///
    /// # Errors
    /// `NotImplemented` when the kernel has no nftables.
    pub fn install(port: u16) -> Result<Redirect> {
        let socket = Socket::netfilter()?;
        let mut refusals = rules(OWNER, port).commit(&socket)?;
        if refusals.iter().any(|refusal| matches!(refusal.errno, libc::EOPNOTSUPP | libc::EINVAL)) {
            refusals = rules(0, port).commit(&socket)?;
        }
        accept(refusals).context("cannot lead the container's name queries to its monitor")?;
        Ok(Redirect { _socket: socket })
    }
}

fn rules(flags: u32, port: u16) -> Transaction<'static> {
    let mut t = Transaction::new(TABLE);
    t.add_table_with(flags);
    t.add_chain(&ChainSpec { name: LOOPBACK, hook: None });
    // Before connection tracking, in case the container uses it.
    t.add_chain(&ChainSpec { name: OUTPUT, hook: Some(Hook { kind: "filter", number: 3, priority: -310 }) });
    let on_loopback = [Expr::Meta(Meta::Oif, R0), Expr::Equal(R0, LOOPBACK_INDEX)];
    t.add_rule(OUTPUT, &[on_loopback[0], on_loopback[1], Expr::Verdict(Jump(LOOPBACK))]);
    for (protocol, checksum) in PROTOCOLS {
        let is = |offset| {
            let address = Expr::Network { offset, length: 4, into: R0 };
            let nfproto = Expr::Equal(R0, &[2]);
            [Expr::Meta(Meta::Nfproto, R0), nfproto, address, Expr::Equal(R0, &[127, 0, 0, 11])]
        };
        let protocol = [Expr::Meta(Meta::L4proto, R0), Expr::Equal(R0, protocol)];
        let there = [Expr::DestinationPort(R0), Expr::IsPort(R0, PORT), Expr::WritePort { offset: 2, port, checksum }];
        let back = [Expr::SourcePort(R0), Expr::IsPort(R0, port), Expr::WritePort { offset: 0, port: PORT, checksum }];
        t.add_rule(LOOPBACK, &[&is(DESTINATION)[..], &protocol, &there].concat());
        t.add_rule(LOOPBACK, &[&is(SOURCE)[..], &protocol, &back].concat());
    }
    debug_assert_eq!(Family::V4.nfproto(), 2);
    t
}

/// The index of loopback in every namespace, in the host's byte order.
const LOOPBACK_INDEX: &[u8] = if cfg!(target_endian = "little") { &[1, 0, 0, 0] } else { &[0, 0, 0, 1] };
