//! Documents on the sockets between engine and monitor: JSON in a packet, or, when it is long, in a memory file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wharf_sys::{memfd, packet};

/// The whole packet when the document is in a memory file, the first of the descriptors.
const IN_MEMORY_FILE: &[u8] = b"M";

/// Sends one document with its descriptors.
pub(crate) fn send<T: Serialize>(socket: impl AsFd, document: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let json = serde_json::to_vec(document)?;
    if json.len() <= packet::MAX_MESSAGE {
        return packet::send(socket, &json, descriptors);
    }
    let file = memfd::sealed("wharf-message", &json)?;
    let mut all = vec![file.as_fd()];
    all.extend_from_slice(descriptors);
    packet::send(socket, IN_MEMORY_FILE, &all)
}

/// A packet as it came in.
#[derive(Debug)]
pub(crate) struct Received {
    json: Vec<u8>,
    /// The descriptors that came with it, without a memory file's.
    pub descriptors: Vec<OwnedFd>,
}

impl Received {
    /// The document, which a newer peer may have written in a way that this version does not understand.
    pub(crate) fn document<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.json)
    }
}

/// Receives one packet; `None` when the other side has closed.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<Option<Received>> {
    let Some((json, mut descriptors)) = packet::receive(socket)? else { return Ok(None) };
    if json != IN_MEMORY_FILE || descriptors.is_empty() {
        return Ok(Some(Received { json, descriptors }));
    }
    let json = memfd::read(descriptors.remove(0))?;
    Ok(Some(Received { json, descriptors }))
}

/// A socket for such documents and the address of `name` in `folder`.
///
/// The address goes through the descriptor, because a socket's path may have 108 bytes and the folder's more.
pub(crate) fn socket_in(
    folder: BorrowedFd<'_>,
    name: &str,
    flags: SocketFlags,
) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    use std::os::fd::AsRawFd;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags | SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_documents_arrive_as_short_ones_do() {
        let (one, other) = packet::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        for text in ["short".to_owned(), "long".repeat(100_000)] {
            send(&one, &text, &[null.as_fd()]).unwrap();
            let received = receive(&other).unwrap().unwrap();
            assert_eq!(received.document::<String>().unwrap(), text);
            assert_eq!(received.descriptors.len(), 1);
        }
        drop(one);
        assert!(receive(&other).unwrap().is_none());
    }
}
