//! The static part of the table: sets, chains and rules. docs/FIREWALL.md shows the same as `nft list` prints it.

use crate::nft::Verdict::{Accept, Drop, Jump, Return};
use crate::nft::{ChainSpec, Ct, Expr, Family, Field, Hook, Meta, Reg, SetSpec, Transaction};

/// Names of the sets and maps.
pub(super) mod sets {
    /// Bridges of all networks.
    pub(crate) const BRIDGES: &str = "bridges";
    /// Bridges whose containers may reach other interfaces.
    pub(crate) const OUTBOUND: &str = "outbound";
    /// Bridges whose packets get the host's address when they leave.
    pub(crate) const MASQUERADE: &str = "masquerade";
    /// Pairs of (incoming, outgoing) bridge that may talk.
    pub(crate) const TALK: &str = "talk";
    /// Each bridge with its own IPv4 subnet.
    pub(crate) const LOCAL4: &str = "local4";
    /// Each bridge with its own IPv6 subnet.
    pub(crate) const LOCAL6: &str = "local6";
    /// Ports published on one IPv4 address.
    pub(crate) const PORTS4: &str = "ports4";
    /// Ports published on every IPv4 address of the host.
    pub(crate) const ANY4: &str = "any4";
    /// Ports published on one IPv6 address.
    pub(crate) const PORTS6: &str = "ports6";
    /// Ports published on every IPv6 address of the host.
    pub(crate) const ANY6: &str = "any6";
    /// Sets that hold networks.
    pub(crate) const OF_NETWORKS: [&str; 6] = [BRIDGES, OUTBOUND, MASQUERADE, TALK, LOCAL4, LOCAL6];
    /// Maps that hold published ports.
    pub(crate) const OF_PORTS: [&str; 4] = [PORTS4, ANY4, PORTS6, ANY6];
}

/// Names of the guard table's sets.
pub(super) mod guard_sets {
    /// Bridges of all networks.
    pub(crate) const BRIDGES: &str = "bridges";
    /// IPv4 subnets that are nobody else's business.
    pub(crate) const INSIDE4: &str = "inside4";
    /// IPv6 subnets that are nobody else's business.
    pub(crate) const INSIDE6: &str = "inside6";
    /// All of them.
    pub(crate) const ALL: [&str; 3] = [BRIDGES, INSIDE4, INSIDE6];
}

/// The administrator's chain: created once, never written to again.
const USER: &str = "wharf-user";
const GUARD: &str = "guard";
const TRANSLATION: &str = "translation";
const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
const PUBLISH: &str = "publish";
const POSTROUTING: &str = "postrouting";
const FORWARD: &str = "forward";
const INWARD: &str = "inward";
const OUTWARD: &str = "outward";

const SETS: [SetSpec; 10] = [
    set(sets::BRIDGES, &[Field::Ifname]),
    set(sets::OUTBOUND, &[Field::Ifname]),
    set(sets::MASQUERADE, &[Field::Ifname]),
    set(sets::TALK, &[Field::Ifname, Field::Ifname]),
    SetSpec { ranges: true, ..set(sets::LOCAL4, &[Field::Ifname, Field::Ipv4]) },
    SetSpec { ranges: true, ..set(sets::LOCAL6, &[Field::Ifname, Field::Ipv6]) },
    map(sets::PORTS4, &[Field::Ipv4, Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]),
    map(sets::ANY4, &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]),
    map(sets::PORTS6, &[Field::Ipv6, Field::Protocol, Field::Port], &[Field::Ipv6, Field::Port]),
    map(sets::ANY6, &[Field::Protocol, Field::Port], &[Field::Ipv6, Field::Port]),
];

const fn set(name: &'static str, key: &'static [Field]) -> SetSpec {
    map(name, key, &[])
}

const fn map(name: &'static str, key: &'static [Field], data: &'static [Field]) -> SetSpec {
    SetSpec { name, key, data, ranges: false }
}

/// Chains with a hook come with their place in `enum nf_inet_hooks` and the usual priorities (raw, dstnat, srcnat,
/// filter).
const CHAINS: [ChainSpec; 8] = [
    base(GUARD, "filter", 0, -300),
    base(PREROUTING, "nat", 0, -100),
    base(OUTPUT, "nat", 3, -100),
    base(POSTROUTING, "nat", 4, 100),
    base(FORWARD, "filter", 2, 0),
    ChainSpec { name: PUBLISH, hook: None },
    ChainSpec { name: INWARD, hook: None },
    ChainSpec { name: OUTWARD, hook: None },
];

const fn base(name: &'static str, kind: &'static str, number: u32, priority: i32) -> ChainSpec {
    ChainSpec { name, hook: Some(Hook { kind, number, priority }) }
}

/// Whether rules of ours are missing, given the chain of each rule of the table. What stands in the administrator's chain
/// does not count.
pub(super) fn is_complete(chains: &[String]) -> bool {
    let mut wanted = Transaction::new("");
    write(&mut wanted);
    chains.iter().filter(|chain| *chain != USER).count() == wanted.rules()
}

/// Writes the whole static part: creates what is missing and replaces the rules of our own chains. Elements of sets
/// and the administrator's chain are left alone.
pub(super) fn write(transaction: &mut Transaction<'_>) {
    transaction.add_table();
    SETS.iter().for_each(|set| transaction.add_set(set));
    transaction.add_chain(&ChainSpec { name: USER, hook: None });
    CHAINS.iter().for_each(|chain| transaction.add_chain(chain));
    CHAINS.iter().for_each(|chain| transaction.flush_chain(chain.name));
    guard(transaction);
    destination_nat(transaction);
    source_nat(transaction);
    forward(transaction);
}

/// Writes the guard's table: what must hold even while the other one is missing.
///
/// The chain for address translation has a rule that does nothing. That both exist keeps the kernel tracking connections
/// and translating the packets of those which the other table's rules have decided about.
pub(super) fn write_guard(transaction: &mut Transaction<'_>) {
    let subnets = |name, key| SetSpec { ranges: true, ..set(name, key) };
    transaction.add_set(&set(guard_sets::BRIDGES, &[Field::Ifname]));
    // A set of single ranges needs elements of another kind; the protocol, any at all, makes pairs of them.
    transaction.add_set(&subnets(guard_sets::INSIDE4, &[Field::Ipv4, Field::Protocol]));
    transaction.add_set(&subnets(guard_sets::INSIDE6, &[Field::Ipv6, Field::Protocol]));
    let chains = [base(GUARD, "filter", 0, -310), base(TRANSLATION, "nat", 0, -99)];
    chains.iter().for_each(|chain| transaction.add_chain(chain));
    chains.iter().for_each(|chain| transaction.flush_chain(chain.name));
    transaction.add_rule(TRANSLATION, &[CT_STATE, INVALID, Expr::Verdict(Return)]);
    guard(transaction);
    transaction.add_rule(GUARD, &[IIFNAME, FROM_BRIDGE, Expr::Verdict(Return)]);
    for (of, offset, inside) in
        [(Family::V4, IPV4_DESTINATION, guard_sets::INSIDE4), (Family::V6, IPV6_DESTINATION, guard_sets::INSIDE6)]
    {
        let [nfproto, same_family] = family(of);
        let address = Expr::Network { offset, length: of.address_length(), into: R0 };
        let protocol = Expr::Meta(Meta::L4proto, Reg(of.address_length() / 4));
        let from_outside = [nfproto, same_family, address, protocol, Expr::In(inside, R0), Expr::Verdict(Drop)];
        transaction.add_rule(GUARD, &from_outside);
    }
}

/// Loopback addresses never come in from a bridge: `route_localnet`, which publishing on 127.0.0.1 needs, would let
/// them.
fn guard(t: &mut Transaction<'_>) {
    let [nfproto, v4] = family(Family::V4);
    for offset in [IPV4_SOURCE, IPV4_DESTINATION] {
        let [address, loopback] = ipv4_loopback(offset);
        t.add_rule(GUARD, &[IIFNAME, FROM_BRIDGE, nfproto, v4, address, loopback, Expr::Verdict(Drop)]);
    }
}

/// Published ports: looked up by address and port, then by port alone. Never for loopback addresses from outside: a
/// packet with such a destination that arrives on a wire is forged.
fn destination_nat(t: &mut Transaction<'_>) {
    let [nfproto, v4] = family(Family::V4);
    let [address, loopback] = ipv4_loopback(IPV4_DESTINATION);
    t.add_rule(PREROUTING, &[nfproto, v4, address, loopback, Expr::Verdict(Return)]);
    for chain in [PREROUTING, OUTPUT] {
        t.add_rule(chain, &[Expr::DestinationType(R0), LOCAL_DESTINATION, Expr::Verdict(Jump(PUBLISH))]);
    }
    for family in [Family::V4, Family::V6] {
        publish_on_address(t, family);
        publish_on_any(t, family);
    }
}

fn publish_on_address(t: &mut Transaction<'_>, of: Family) {
    let [nfproto, same_family] = family(of);
    let words = of.address_length() / 4;
    let (offset, map) = match of {
        Family::V4 => (IPV4_DESTINATION, sets::PORTS4),
        Family::V6 => (IPV6_DESTINATION, sets::PORTS6),
    };
    let address = Expr::Network { offset, length: of.address_length(), into: R0 };
    let protocol = Expr::Meta(Meta::L4proto, Reg(words));
    let port = Expr::DestinationPort(Reg(words + 1));
    let lookup = Expr::Map { map, key: R0, into: R0 };
    let dnat = Expr::Dnat { family: of, address: R0, port: Reg(words) };
    t.add_rule(PUBLISH, &[nfproto, same_family, address, protocol, port, lookup, dnat]);
}

fn publish_on_any(t: &mut Transaction<'_>, of: Family) {
    let [nfproto, same_family] = family(of);
    let map = match of {
        Family::V4 => sets::ANY4,
        Family::V6 => sets::ANY6,
    };
    let protocol = Expr::Meta(Meta::L4proto, R0);
    let port = Expr::DestinationPort(Reg(1));
    let lookup = Expr::Map { map, key: R0, into: R0 };
    let dnat = Expr::Dnat { family: of, address: R0, port: Reg(of.address_length() / 4) };
    t.add_rule(PUBLISH, &[nfproto, same_family, protocol, port, lookup, dnat]);
}

/// The host's own loopback connections and those of a container to its own network's published ports need an answer
/// that comes back through the host; what leaves for elsewhere gets the host's address.
fn source_nat(t: &mut Transaction<'_>) {
    let [nfproto, v4] = family(Family::V4);
    let [address, loopback] = ipv4_loopback(IPV4_SOURCE);
    t.add_rule(POSTROUTING, &[OIFNAME, TO_BRIDGE, nfproto, v4, address, loopback, Expr::Masquerade]);
    hairpin(t, Family::V4, IPV4_SOURCE, sets::LOCAL4);
    hairpin(t, Family::V6, IPV6_SOURCE, sets::LOCAL6);
    let masqueraded = Expr::In(sets::MASQUERADE, R0);
    t.add_rule(POSTROUTING, &[IIFNAME, masqueraded, OIFNAME, Expr::NotIn(sets::BRIDGES, R0), Expr::Masquerade]);
}

fn hairpin(t: &mut Transaction<'_>, of: Family, offset: u8, subnets: &'static str) {
    let [nfproto, same_family] = family(of);
    let source = Expr::Network { offset, length: of.address_length(), into: Reg(4) };
    let own_subnet = Expr::In(subnets, R0);
    t.add_rule(POSTROUTING, &[CT_STATUS, DNATED, nfproto, same_family, OIFNAME, source, own_subnet, Expr::Masquerade]);
}

/// Only packets from or to our bridges are judged here; all others pass through untouched.
fn forward(t: &mut Transaction<'_>) {
    t.add_rule(FORWARD, &[Expr::Verdict(Jump(USER))]);
    t.add_rule(FORWARD, &[OIFNAME, TO_BRIDGE, Expr::Verdict(Jump(INWARD))]);
    t.add_rule(FORWARD, &[IIFNAME, FROM_BRIDGE, Expr::Verdict(Jump(OUTWARD))]);

    t.add_rule(INWARD, &[CT_STATE, ESTABLISHED, Expr::Verdict(Accept)]);
    t.add_rule(INWARD, &[CT_STATUS, DNATED, Expr::Verdict(Accept)]);
    let pair = [IIFNAME, Expr::Meta(Meta::Oifname, Reg(4)), Expr::In(sets::TALK, R0)];
    t.add_rule(INWARD, &[pair[0], pair[1], pair[2], Expr::Verdict(Accept)]);
    t.add_rule(INWARD, &[Expr::Verdict(Drop)]);

    t.add_rule(OUTWARD, &[CT_STATE, ESTABLISHED, Expr::Verdict(Accept)]);
    // A packet that belongs to no connection would leave with the container's own address.
    t.add_rule(OUTWARD, &[CT_STATE, INVALID, Expr::Verdict(Drop)]);
    t.add_rule(OUTWARD, &[IIFNAME, Expr::In(sets::OUTBOUND, R0), Expr::Verdict(Accept)]);
    t.add_rule(OUTWARD, &[Expr::Verdict(Drop)]);
}

const R0: Reg = Reg(0);
const IIFNAME: Expr = Expr::Meta(Meta::Iifname, R0);
const OIFNAME: Expr = Expr::Meta(Meta::Oifname, R0);
const FROM_BRIDGE: Expr = Expr::In(sets::BRIDGES, R0);
const TO_BRIDGE: Expr = FROM_BRIDGE;
const CT_STATE: Expr = Expr::Ct(Ct::State, R0);
const CT_STATUS: Expr = Expr::Ct(Ct::Status, R0);
/// `NF_CT_STATE_BIT` of established (2) and related (4).
const ESTABLISHED: Expr = Expr::AnyBit(R0, 2 | 4);
/// `NF_CT_STATE_INVALID_BIT`.
const INVALID: Expr = Expr::AnyBit(R0, 1);
/// `IPS_DST_NAT`.
const DNATED: Expr = Expr::AnyBit(R0, 1 << 5);
/// `RTN_LOCAL`, in the host's byte order.
const LOCAL_DESTINATION: Expr =
    Expr::Equal(R0, if cfg!(target_endian = "little") { &[2, 0, 0, 0] } else { &[0, 0, 0, 2] });
/// Offsets in the network header.
const IPV4_SOURCE: u8 = 12;
const IPV4_DESTINATION: u8 = 16;
const IPV6_SOURCE: u8 = 8;
const IPV6_DESTINATION: u8 = 24;

fn family(of: Family) -> [Expr; 2] {
    let number: &'static [u8] = match of {
        Family::V4 => &[2],
        Family::V6 => &[10],
    };
    [Expr::Meta(Meta::Nfproto, R0), Expr::Equal(R0, number)]
}

fn ipv4_loopback(offset: u8) -> [Expr; 2] {
    [Expr::Network { offset, length: 1, into: R0 }, Expr::Equal(R0, &[127])]
}
