//! Messages with descriptors over `SOCK_SEQPACKET` unix sockets: one packet, one message.
//!
//! Synchronous on a blocking socket; on a non-blocking one (tokio's `AsyncFd`) they fail with `WouldBlock` and are tried again.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// The most descriptors that one message carries (the kernel's SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 253;

/// The longest message. Anything larger travels as a memory file.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A connected pair, both ends close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let data = [IoSlice::new(message)];
    rustix::io::retry_on_intr(|| sendmsg(&socket, &data, &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one message and its descriptors, which are close-on-exec. `None` when the other end is closed.
///
/// A message longer than [`MAX_MESSAGE`] is an error of kind `InvalidData`.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    receive_up_to(socket, MAX_MESSAGE)
}

/// As [`receive`], with room for messages of up to `size` bytes.
pub fn receive_up_to(socket: impl AsFd, size: usize) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut message = vec![0; size];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(&mut message)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    if received.bytes == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    message.truncate(received.bytes);
    Ok(Some((message, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (one, other) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(&one, b"first", &[writer.as_fd()]).unwrap();
        send(&one, b"second", &[]).unwrap();
        drop((one, writer));
        let (message, mut descriptors) = receive(&other).unwrap().unwrap();
        assert_eq!(message, b"first");
        File::from(descriptors.remove(0)).write_all(b"through").unwrap();
        assert_eq!(receive(&other).unwrap().unwrap().0, b"second");
        assert!(receive(&other).unwrap().is_none());
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }
}
