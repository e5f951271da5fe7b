//! The few questions to sockets and network interfaces that are an ioctl(2) of their own.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::check;

/// Brings up the loopback interface of the present network namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq with a name and flags, which is what the pointer points to.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }.into()).map(drop)
}

/// How much of what was sent on a socket the other side has not read yet (unix sockets, in bytes of the kernel's memory)
/// or not acknowledged (TCP). Zero means that everything has arrived.
pub fn unread(socket: impl AsFd) -> io::Result<usize> {
    let mut size: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ by another name, writes one integer, to which the pointer points.
    check(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut size) }.into())?;
    Ok(usize::try_from(size).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_was_read_is_no_longer_unread() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"head").unwrap();
        assert_ne!(unread(&ours).unwrap(), 0);
        theirs.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(unread(&ours).unwrap(), 0);
    }
}
