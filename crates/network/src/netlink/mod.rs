//! Netlink messages and sockets: one writer and one reader of attributes for all families (routes, nftables,
//! connection tracking).
//!
//! Written here rather than taken from a typed crate because nftables needs it anyway, and because several requests
//! then fit into one buffer, one system call and one pass over the answers.

mod message;
mod parse;
mod socket;

pub(crate) use message::Request;
pub(crate) use parse::{Attributes, Message, text};
pub(crate) use socket::{Refusal, Socket, accept};
