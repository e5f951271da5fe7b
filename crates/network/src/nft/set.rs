//! Sets and maps: their definition, and reading their elements.

use super::{INET, kind};
use crate::netlink::{Attributes, Request, Socket, text};
use wharf_types::Result;

/// One part of a key or a mapped value, as `nft list` is to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Ifname,
    Ipv4,
    Ipv6,
    Protocol,
    Port,
}

impl Field {
    /// nftables' number of the data type, six bits; kept in the kernel for display only.
    fn data_type(self) -> u32 {
        match self {
            Field::Ipv4 => 7,
            Field::Ipv6 => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Ifname => 41,
        }
    }

    /// Length in bytes, before it is padded to whole registers.
    fn length(self) -> u32 {
        match self {
            Field::Protocol => 1,
            Field::Port => 2,
            Field::Ipv4 => 4,
            Field::Ipv6 | Field::Ifname => 16,
        }
    }
}

/// A set, or with `data` a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetSpec {
    /// Its name.
    pub(crate) name: &'static str,
    /// The parts of its key.
    pub(crate) key: &'static [Field],
    /// What keys map to; empty for a set.
    pub(crate) data: &'static [Field],
    /// Whether elements are ranges (of a concatenated key).
    pub(crate) ranges: bool,
}

/// For `nft list`, which otherwise shows an interface's name as empty: the key's byte order (0), in four bytes, is
/// the host's (1).
const NAME_IN_HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};
const FLAG_INTERVAL: u32 = 0x4;
const FLAG_MAP: u32 = 0x8;
const FLAG_CONCAT: u32 = 0x80;

impl SetSpec {
    /// Writes the attributes of `NFT_MSG_NEWSET` after the table's name; `id` is unique within the transaction.
    pub(crate) fn write(&self, message: &mut Request, id: u32) {
        message.string(2, self.name).net32(3, self.flags());
        message.net32(4, data_type(self.key)).net32(5, length(self.key));
        if !self.data.is_empty() {
            message.net32(6, data_type(self.data)).net32(7, length(self.data));
        }
        if self.ranges {
            message.nest(9, |desc| desc.nest(2, |fields| self.write_fields(fields)));
        }
        message.net32(10, id);
        if self.key == [Field::Ifname] {
            message.bytes(13, &NAME_IN_HOST_ORDER);
        }
    }

    fn flags(&self) -> u32 {
        let map = if self.data.is_empty() { 0 } else { FLAG_MAP };
        let ranges = if self.ranges { FLAG_INTERVAL | FLAG_CONCAT } else { 0 };
        map | ranges
    }

    fn write_fields<'r>(&self, fields: &'r mut Request) -> &'r mut Request {
        for field in self.key {
            fields.nest(1, |element| element.net32(1, field.length()));
        }
        fields
    }
}

fn data_type(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |sum, field| (sum << 6) | field.data_type())
}

fn length(fields: &[Field]) -> u32 {
    fields.iter().map(|field| field.length().next_multiple_of(4)).sum()
}

/// The elements of a set as (key, data) in the kernel's layout.
///
/// # Errors
/// `NotFound`-like refusals are passed on; a missing table has the error number ENOENT.
pub(crate) fn dump_elements(socket: &Socket, table: &str, set: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let found = socket.dump(
        |request| {
            request.begin(kind(libc::NFT_MSG_GETSETELEM), libc::NLM_F_DUMP);
            request.fixed(&INET).string(1, table).string(2, set);
        },
        |payload, found| {
            let list = Attributes(payload.get(4..).unwrap_or_default()).nested(3);
            found.extend(list.map(|(_, element)| key_and_data(&Attributes(element))));
        },
    )?;
    Ok(found)
}

fn key_and_data(element: &Attributes<'_>) -> (Vec<u8>, Vec<u8>) {
    let value = |kind| element.nested(kind).get(1).unwrap_or_default().to_vec();
    (value(1), value(2))
}

/// The chains in which a table's rules stand, one entry per rule.
///
/// # Errors
/// As [`dump_elements`].
pub(crate) fn dump_rule_chains(socket: &Socket, table: &str) -> Result<Vec<String>> {
    let found = socket.dump(
        |request| {
            request.begin(kind(libc::NFT_MSG_GETRULE), libc::NLM_F_DUMP);
            request.fixed(&INET).string(1, table);
        },
        |payload, found| {
            let attributes = Attributes(payload.get(4..).unwrap_or_default());
            // Kernels before 5.15 do not filter by the table.
            if attributes.get(1).map(text).as_deref() == Some(table) {
                found.extend(attributes.get(2).map(text));
            }
        },
    )?;
    Ok(found)
}

/// A base chain that drops what no rule of it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DroppingChain {
    /// `ip`, `ip6` or `inet`.
    pub(crate) family: &'static str,
    pub(crate) table: String,
    pub(crate) chain: String,
}

/// The base chains of the whole host at a hook (`NF_INET_*`) whose policy is to drop.
pub(crate) fn dump_dropping_chains(socket: &Socket, hook: u32) -> Result<Vec<DroppingChain>> {
    let found = socket.dump(
        |request| {
            request.begin(kind(libc::NFT_MSG_GETCHAIN), libc::NLM_F_DUMP);
            request.fixed(&[0; 4]);
        },
        |payload, found| {
            let attributes = Attributes(payload.get(4..).unwrap_or_default());
            let number = |value: Option<&[u8]>| value.and_then(|v| v.try_into().ok()).map(u32::from_be_bytes);
            let family = payload.first().and_then(|family| family_name(*family));
            let at_hook = number(attributes.nested(4).get(1)) == Some(hook);
            if let (Some(family), true, Some(0)) = (family, at_hook, number(attributes.get(5))) {
                let name = |kind| attributes.get(kind).map(text).unwrap_or_default();
                found.push(DroppingChain { family, table: name(1), chain: name(3) });
            }
        },
    )?;
    Ok(found)
}

fn family_name(number: u8) -> Option<&'static str> {
    match number {
        1 => Some("inet"),
        2 => Some("ip"),
        10 => Some("ip6"),
        _ => None,
    }
}
