//! The tables of the packet filter and what is in their sets, asked of the kernel directly (no `nft` program needed).

use std::io;

use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, sendto, socket};

// linux/netfilter/nfnetlink.h and nf_tables.h
const SUBSYSTEM: u16 = 10 << 8;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_SET: u16 = SUBSYSTEM | 10;
const GET_ELEMENTS: u16 = SUBSYSTEM | 13;
const ATTR_NAME: u16 = 1; // NFTA_TABLE_NAME, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE
const ATTR_SET: u16 = 2; // NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET
const ATTR_ELEMENTS: u16 = 3; // NFTA_SET_ELEM_LIST_ELEMENTS

// linux/netlink.h
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const TYPE_MASK: u16 = 0x3fff;
const FAMILY_INET: u8 = 1;

/// The names of all tables of all families.
///
/// # Errors
/// Whatever the kernel answers, for instance that it has no nftables.
pub fn tables() -> io::Result<Vec<String>> {
    let names = dump(GET_TABLE, 0, &[])?;
    Ok(names.iter().filter_map(|message| text(attribute(message, ATTR_NAME)?)).collect())
}

/// How many elements each set and map of a table (family inet) holds, as `(name, number)`.
///
/// # Errors
/// As [`tables`]; a table that does not exist is an error too.
pub fn set_sizes(table: &str) -> io::Result<Vec<(String, usize)>> {
    let sets = dump(GET_SET, FAMILY_INET, &[(ATTR_NAME, table)])?;
    let names = sets.iter().filter_map(|message| text(attribute(message, ATTR_SET)?));
    names
        .filter(|name| !name.starts_with("__"))
        .map(|name| {
            let lists = dump(GET_ELEMENTS, FAMILY_INET, &[(ATTR_NAME, table), (ATTR_SET, &name)])?;
            let sizes = lists.iter().filter_map(|message| attribute(message, ATTR_ELEMENTS));
            let size = sizes.map(|list| attributes(list).len()).sum();
            Ok((name, size))
        })
        .collect()
}

/// Sends a dump request and gives the payloads (after the nfgenmsg header) of all answers.
fn dump(kind: u16, family: u8, names: &[(u16, &str)]) -> io::Result<Vec<Vec<u8>>> {
    let netlink = socket(AddressFamily::NETLINK, SocketType::RAW, Some(NETFILTER))?;
    let request = request(kind, family, names);
    sendto(&netlink, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answers = Vec::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        let (length, _) = recv(&netlink, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let size = word(rest, 0) as usize;
            match half(rest, 4) {
                MESSAGE_DONE => return Ok(answers),
                MESSAGE_ERROR => {
                    let code = word(rest, 16).cast_signed();
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => answers.push(rest[20..size].to_vec()),
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

fn request(kind: u16, family: u8, names: &[(u16, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | DUMP).to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port
    bytes.extend([family, 0, 0, 0]); // nfgenmsg
    for (attribute, name) in names {
        let length = u16::try_from(name.len() + 5).expect("names are short");
        bytes.extend(length.to_ne_bytes());
        bytes.extend(attribute.to_ne_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).expect("requests are short");
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// All attributes of a list as `(type, payload)`.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(half(bytes, 0)).clamp(4, bytes.len());
        found.push((half(bytes, 2) & TYPE_MASK, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}

fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).into_iter().find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()?.to_owned())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|part| part.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_padded_and_counts_itself() {
        let bytes = request(GET_SET, FAMILY_INET, &[(ATTR_NAME, "ab")]);
        assert_eq!(bytes.len(), 28);
        assert_eq!(word(&bytes, 0), 28);
        assert_eq!(half(&bytes, 20), 7);
    }

    #[test]
    fn broken_attributes_end_the_list_and_nothing_else() {
        assert_eq!(attributes(&[0xff, 0xff, 1, 0, 9]), [(1, &[9u8][..])]);
        assert_eq!(attributes(&[1, 0, 1, 0]), [(1, &[][..])]);
        assert!(attributes(&[1, 0]).is_empty());
    }
}
