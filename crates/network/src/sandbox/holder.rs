//! Finding the process that holds a port of the host.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::plan::{PortPlan, Protocol};

/// The process whose socket is in the way of `port`, as `nginx (process 4711)`. Nothing where /proc does not tell.
pub(super) fn of(port: &PortPlan) -> Option<String> {
    let tables: &[&str] = match port.protocol {
        Protocol::Tcp => &["tcp", "tcp6"],
        Protocol::Udp => &["udp", "udp6"],
        Protocol::Sctp => return None,
    };
    let read = |table: &&str| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok();
    let inodes: Vec<String> = tables.iter().filter_map(read).flat_map(|table| inodes(&table, port)).collect();
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = entries.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let found = processes.find(|process| has_socket(&process.path(), &inodes))?;
    let name = fs::read_to_string(found.path().join("comm")).ok()?;
    Some(format!("{} (process {})", name.trim_end(), found.file_name().to_string_lossy()))
}

/// The inodes of the sockets in a table of /proc/net that clash with the port. Closing connections have inode 0.
fn inodes(table: &str, port: &PortPlan) -> Vec<String> {
    let clashes = |local: &str| {
        let (address, number) = local.split_once(':')?;
        let address = parse(address)?;
        let same = address == port.host_ip || address.is_unspecified() || port.host_ip.is_unspecified();
        (same && u16::from_str_radix(number, 16).ok()? == port.host_port).then_some(())
    };
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        clashes(fields.get(1)?)?;
        fields.get(9).filter(|inode| **inode != "0").map(|inode| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// An address as /proc/net has it: words in the host's byte order.
fn parse(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = (0..4).map(word).collect::<Option<Vec<_>>>()?.concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

fn has_socket(process: &Path, inodes: &[String]) -> bool {
    let links = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.any(|target| {
        let name = target.to_string_lossy();
        let inode = name.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_listener_is_found() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = |host_ip: &str| PortPlan {
            host_ip: host_ip.parse().unwrap(),
            host_port: listener.local_addr().unwrap().port(),
            container_ip: Ipv4Addr::LOCALHOST.into(),
            container_port: 80,
            protocol: Protocol::Tcp,
        };
        let own = format!("(process {})", std::process::id());
        for address in ["0.0.0.0", "127.0.0.1"] {
            assert!(of(&port(address)).unwrap().ends_with(&own));
        }
        assert_eq!(of(&port("127.0.0.9")), None);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
            assert_eq!(parse("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
        }
        assert_eq!(parse("01"), None);
        assert_eq!(parse("xxxxxxxx"), None);
    }
}
