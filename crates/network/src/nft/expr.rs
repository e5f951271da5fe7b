//! The expressions that rules consist of.

use crate::netlink::Request;

/// One of the sixteen 32-bit registers (`NFT_REG32_00` and on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reg(pub(crate) u8);

/// Address family of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    pub(crate) fn nfproto(self) -> u8 {
        match self {
            Family::V4 => 2,
            Family::V6 => 10,
        }
    }

    /// Length of an address in bytes.
    pub(crate) fn address_length(self) -> u8 {
        match self {
            Family::V4 => 4,
            Family::V6 => 16,
        }
    }
}

/// Packet metadata (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Meta {
    Oif = 5,
    Iifname = 6,
    Oifname = 7,
    Nfproto = 15,
    L4proto = 16,
}

/// Properties of a tracked connection (`enum nft_ct_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ct {
    State = 0,
    Status = 2,
}

/// How a rule ends (`enum nft_verdicts`, `NF_DROP`, `NF_ACCEPT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(&'static str),
}

/// One expression. Loads write a register, comparisons and lookups leave the rule when they do not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Loads metadata.
    Meta(Meta, Reg),
    /// Loads a property of the connection.
    Ct(Ct, Reg),
    /// Loads bytes of the network header.
    Network { offset: u8, length: u8, into: Reg },
    /// Loads the destination port of TCP, UDP or SCTP.
    DestinationPort(Reg),
    /// Loads the source port of TCP, UDP or SCTP.
    SourcePort(Reg),
    /// Matches when the register begins with this port.
    IsPort(Reg, u16),
    /// Writes a port at an offset of the transport header and corrects the checksum at another; uses the first register.
    WritePort { offset: u8, port: u16, checksum: u8 },
    /// Loads the type (local, broadcast…) that the routing table gives to the destination.
    DestinationType(Reg),
    /// Matches when any of the register's bits in the mask is set: three kernel expressions in one.
    AnyBit(Reg, u32),
    /// Matches when the register begins with these bytes.
    Equal(Reg, &'static [u8]),
    /// Matches when the set contains the key that begins in the register.
    In(&'static str, Reg),
    /// Matches when the set does not contain the key.
    NotIn(&'static str, Reg),
    /// Matches when the map contains the key, and loads what it maps to.
    Map { map: &'static str, key: Reg, into: Reg },
    /// Rewrites the destination.
    Dnat { family: Family, address: Reg, port: Reg },
    /// Rewrites the source to the address of the outgoing interface.
    Masquerade,
    /// Ends the rule.
    Verdict(Verdict),
}

impl Expr {
    /// Writes the expression as elements of an `NFTA_RULE_EXPRESSIONS` list.
    pub(crate) fn write(&self, list: &mut Request) {
        match *self {
            Expr::Meta(key, into) => element(list, "meta", |e| e.net32(1, into.id()).net32(2, key as u32)),
            Expr::Ct(key, into) => element(list, "ct", |e| e.net32(1, into.id()).net32(2, key as u32)),
            Expr::Network { offset, length, into } => payload(list, 1, offset, length, into),
            Expr::DestinationPort(into) => payload(list, 2, 2, 2, into),
            Expr::SourcePort(into) => payload(list, 2, 0, 2, into),
            Expr::IsPort(register, port) => compare(list, register, CMP_EQ, &port.to_be_bytes()),
            Expr::WritePort { offset, port, checksum } => write_port(list, offset, port, checksum),
            Expr::DestinationType(into) => {
                element(list, "fib", |e| e.net32(1, into.id()).net32(2, FIB_ADDRTYPE).net32(3, FIB_DADDR));
            }
            Expr::AnyBit(register, mask) => any_bit(list, register, mask),
            Expr::Equal(register, value) => compare(list, register, CMP_EQ, value),
            Expr::In(set, key) => lookup(list, set, key, None, false),
            Expr::NotIn(set, key) => lookup(list, set, key, None, true),
            Expr::Map { map, key, into } => lookup(list, map, key, Some(into), false),
            Expr::Dnat { family, address, port } => element(list, "nat", |e| {
                e.net32(1, NAT_DNAT).net32(2, u32::from(family.nfproto())).net32(3, address.id()).net32(5, port.id())
            }),
            Expr::Masquerade => element(list, "masq", |data| data),
            Expr::Verdict(verdict) => element(list, "immediate", |e| {
                e.net32(1, 0).nest(2, |data| data.nest(2, |v| write_verdict(v, verdict)))
            }),
        }
    }
}

impl Reg {
    fn id(self) -> u32 {
        u32::from(self.0) + 8
    }
}

const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;
const FIB_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const NAT_DNAT: u32 = 1;
const LOOKUP_INVERTED: u32 = 1;
const CSUM_INET: u32 = 1;

fn element(list: &mut Request, name: &str, data: impl FnOnce(&mut Request) -> &mut Request) {
    list.nest(1, |element| element.string(1, name).nest(2, data));
}

fn payload(list: &mut Request, base: u32, offset: u8, length: u8, into: Reg) {
    element(list, "payload", |e| {
        e.net32(1, into.id()).net32(2, base).net32(3, u32::from(offset)).net32(4, u32::from(length))
    });
}

fn write_port(list: &mut Request, offset: u8, port: u16, checksum: u8) {
    let register = Reg(0).id();
    element(list, "immediate", |e| e.net32(1, register).nest(2, |data| data.bytes(1, &port.to_be_bytes())));
    element(list, "payload", |e| {
        e.net32(2, 2).net32(3, u32::from(offset)).net32(4, 2);
        e.net32(5, register).net32(6, CSUM_INET).net32(7, u32::from(checksum))
    });
}

fn compare(list: &mut Request, register: Reg, operator: u32, value: &[u8]) {
    element(list, "cmp", |e| e.net32(1, register.id()).net32(2, operator).nest(3, |data| data.bytes(1, value)));
}

fn any_bit(list: &mut Request, register: Reg, mask: u32) {
    element(list, "bitwise", |e| {
        e.net32(1, register.id()).net32(2, register.id()).net32(3, 4);
        e.nest(4, |data| data.bytes(1, &mask.to_ne_bytes()));
        e.nest(5, |data| data.bytes(1, &[0; 4]))
    });
    compare(list, register, CMP_NEQ, &[0; 4]);
}

fn lookup(list: &mut Request, set: &str, key: Reg, into: Option<Reg>, inverted: bool) {
    element(list, "lookup", |e| {
        e.string(1, set).net32(2, key.id());
        if let Some(into) = into {
            e.net32(3, into.id());
        }
        if inverted {
            e.net32(5, LOOKUP_INVERTED);
        }
        e
    });
}

fn write_verdict(data: &mut Request, verdict: Verdict) -> &mut Request {
    let code: i32 = match verdict {
        Verdict::Drop => 0,
        Verdict::Accept => 1,
        Verdict::Jump(_) => -3,
        Verdict::Return => -5,
    };
    data.net32(1, code as u32);
    if let Verdict::Jump(chain) = verdict {
        data.string(2, chain);
    }
    data
}
