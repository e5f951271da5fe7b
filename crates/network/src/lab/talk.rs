//! Servers and clients inside the lab's namespaces.

use std::io::Write;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use crate::Sandbox;

/// How long an answer may take before the server counts as unreachable. Packets are dropped silently, so that a test
/// of something unreachable has to wait this long.
const PATIENCE: Duration = Duration::from_millis(400);

/// Serves TCP in the sandbox: answers each connection with the client's address and closes.
pub(super) fn serve_tcp(sandbox: &Sandbox, address: impl Into<IpAddr>, port: u16) {
    let inside = sandbox.enter().unwrap();
    let listener = TcpListener::bind((address.into(), port)).unwrap();
    inside.leave().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().unwrap().ip().to_string();
            // A client that is gone already is no matter.
            let _ = stream.write_all(peer.as_bytes());
        }
    });
}

/// Serves UDP in the sandbox: answers each datagram with the client's address.
pub(super) fn serve_udp(sandbox: &Sandbox, address: impl Into<IpAddr>, port: u16) {
    let inside = sandbox.enter().unwrap();
    let socket = UdpSocket::bind((address.into(), port)).unwrap();
    inside.leave().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            if socket.send_to(peer.ip().to_string().as_bytes(), peer).is_err() {
                return;
            }
        }
    });
}

/// What a TCP server says to a client in this thread's namespace: the client's address as the server sees it.
pub(super) fn ask_tcp(address: impl Into<IpAddr>, port: u16) -> io::Result<IpAddr> {
    ask_within(PATIENCE, address.into(), port)
}

/// The same for a client that makes many attempts and expects no answer.
pub(super) fn ask_briefly(address: impl Into<IpAddr>, port: u16) -> io::Result<IpAddr> {
    ask_within(Duration::from_millis(10), address.into(), port)
}

fn ask_within(patience: Duration, address: IpAddr, port: u16) -> io::Result<IpAddr> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), patience)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.parse().map_err(io::Error::other)
}

/// The same over UDP, from a socket that stays open.
pub(super) fn ask_udp(socket: &UdpSocket, address: impl Into<IpAddr>, port: u16) -> io::Result<IpAddr> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", (address.into(), port))?;
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer)?;
    String::from_utf8_lossy(&buffer[..length]).parse().map_err(io::Error::other)
}

/// Runs `action` inside a sandbox.
pub(super) fn inside<T>(sandbox: &Sandbox, action: impl FnOnce() -> T) -> T {
    let entered = sandbox.enter().unwrap();
    let result = action();
    entered.leave().unwrap();
    result
}
