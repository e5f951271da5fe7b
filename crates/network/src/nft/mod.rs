//! nftables over netlink: transactions, expressions and sets, encoded as `linux/netfilter/nf_tables.h` has them.

mod expr;
mod set;
mod transaction;

pub(crate) use expr::{Ct, Expr, Family, Meta, Reg, Verdict};
pub(crate) use set::{DroppingChain, Field, SetSpec, dump_dropping_chains, dump_elements, dump_rule_chains};
pub(crate) use transaction::{ChainSpec, Element, Hook, Transaction};

/// `struct nfgenmsg` for an object of the inet family (`NFPROTO_INET`).
const INET: [u8; 4] = [1, 0, 0, 0];

/// The netlink message type of an nftables message (`NFNL_SUBSYS_NFTABLES`).
fn kind(message: i32) -> u16 {
    (10 << 8) | message as u16
}
