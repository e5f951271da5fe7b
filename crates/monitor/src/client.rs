//! A client that is attached to a process's streams, on a socket of its own.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, sendmsg, shutdown};

use crate::detach::Scanner;
use crate::log::Stream;
use crate::poll::{Poll, Token, Watched};
use crate::protocol::Streams;

/// Output that waits for a client, in bytes, from which on the process has to wait too.
const FULL: usize = 64 * 1024;

/// How long a client may take nothing while output waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same once the client is only waited for to take the rest.
const CLOSING_PATIENCE: Duration = Duration::from_secs(10);

/// An attached client.
#[derive(Debug)]
pub(crate) struct Client {
    id: u32,
    socket: Watched,
    streams: Streams,
    /// Looks for the detach keys; on terminals only, as with Docker.
    scanner: Option<Scanner>,
    /// Whether standard input may still come.
    reads: bool,
    /// Output that the socket did not take, and how much of it was sent since.
    pending: Vec<u8>,
    sent: usize,
    progress: Instant,
    /// No further output: the connection closes once what is pending has been sent.
    closing: bool,
    /// The other side is gone.
    gone: bool,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// So many bytes for standard input, just as they came into the buffer; they may be none.
    Plain(usize),
    /// Bytes for standard input; they may be none.
    Bytes(Vec<u8>),
    /// Bytes, and then the end.
    End(Vec<u8>),
    /// Bytes, and then the detach keys.
    Detach(Vec<u8>),
}

impl Client {
    /// Takes over a client's connection. `input`: whether the process has a standard input; `tty`: whether it is a terminal.
    pub(crate) fn new(
        poll: &Poll,
        session: u32,
        id: u32,
        (socket, streams): (OwnedFd, Streams),
        input: bool,
        tty: bool,
    ) -> Self {
        Self {
            id,
            socket: poll.watch(socket, Token::Client(session, id)),
            scanner: Scanner::new(&streams.detach_keys).filter(|_| tty),
            reads: streams.stdin && input,
            streams,
            pending: Vec::new(),
            sent: 0,
            progress: Instant::now(),
            closing: false,
            gone: false,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Sends output, or keeps what the socket does not take now.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let wanted = match stream {
            Stream::Stdin => false,
            Stream::Stdout => self.streams.stdout,
            Stream::Stderr => self.streams.stderr,
        };
        if !wanted || self.closing || self.gone {
            return;
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let header = [stream.number(), 0, 0, 0, length[0], length[1], length[2], length[3]];
        let header = if self.streams.multiplexed { &header[..] } else { &[] };
        let sent = if self.pending.is_empty() { self.send(header, bytes) } else { 0 };
        self.keep(header, bytes, sent);
    }

    fn keep(&mut self, header: &[u8], bytes: &[u8], sent: usize) {
        if self.gone || sent == header.len() + bytes.len() {
            return;
        }
        if self.pending.is_empty() {
            self.progress = Instant::now();
        }
        self.pending.extend_from_slice(&header[sent.min(header.len())..]);
        self.pending.extend_from_slice(&bytes[sent.saturating_sub(header.len())..]);
    }

    /// Sends what has been waiting, as far as the socket takes it.
    pub(crate) fn flush(&mut self) {
        if self.pending.is_empty() || self.gone {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let sent = self.send(&[], &pending[self.sent..]);
        self.sent += sent;
        if sent > 0 {
            self.progress = Instant::now();
        }
        if self.sent < pending.len() && !self.gone {
            self.pending = pending;
        } else {
            self.sent = 0;
        }
    }

    /// How many bytes the socket took.
    fn send(&mut self, header: &[u8], bytes: &[u8]) -> usize {
        let parts = [IoSlice::new(header), IoSlice::new(bytes)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let result =
            rustix::io::retry_on_intr(|| sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), flags));
        match result {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            Err(_) => {
                self.gone = true;
                0
            }
        }
    }

    /// Reads what the client sent, into `scratch` first.
    pub(crate) fn input(&mut self, scratch: &mut [u8]) -> Input {
        let received = rustix::io::retry_on_intr(|| recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT));
        match received {
            Ok((count, _)) if count > 0 && self.scanner.is_none() => Input::Plain(count),
            Ok((count, _)) if count > 0 => self.scan(&scratch[..count]),
            Err(Errno::AGAIN) => Input::Bytes(Vec::new()),
            ended => {
                self.gone |= ended.is_err();
                self.reads = false;
                let mut rest = Vec::new();
                self.scanner.iter_mut().for_each(|scanner| scanner.finish(&mut rest));
                Input::End(rest)
            }
        }
    }

    fn scan(&mut self, bytes: &[u8]) -> Input {
        let Some(scanner) = &mut self.scanner else { return Input::Bytes(bytes.to_vec()) };
        let mut through = Vec::new();
        if !scanner.scan(bytes, &mut through) {
            return Input::Bytes(through);
        }
        self.reads = false;
        Input::Detach(through)
    }

    /// Whether standard input may still come from this client.
    pub(crate) fn reads(&self) -> bool {
        self.reads
    }

    /// The other side has closed its connection entirely.
    pub(crate) fn hung_up(&mut self) {
        self.gone = true;
    }

    /// No further output for this client; it is done with once it has what is pending.
    pub(crate) fn close_when_sent(&mut self) {
        if !self.closing {
            self.progress = Instant::now();
        }
        (self.closing, self.reads) = (true, false);
    }

    /// Whether so much is pending that the process should wait.
    pub(crate) fn is_full(&self) -> bool {
        !self.gone && self.pending.len() - self.sent >= FULL
    }

    /// Whether anything is pending.
    pub(crate) fn is_pending(&self) -> bool {
        !self.gone && !self.pending.is_empty()
    }

    /// Whether nothing more will happen with this client.
    pub(crate) fn is_done(&self) -> bool {
        (self.gone && !self.reads) || (self.closing && !self.is_pending()) || self.is_stuck()
    }

    fn is_stuck(&self) -> bool {
        let patience = if self.closing { CLOSING_PATIENCE } else { PATIENCE };
        self.is_pending() && self.progress.elapsed() > patience
    }

    /// Waits for what can happen next; for input only if there is `room` for it.
    pub(crate) fn rearm(&mut self, room: bool) {
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, self.reads && room);
        interest.set(EventFlags::OUT, self.is_pending());
        // A hang-up is reported always; while there is nothing that could be done about it nobody may look.
        let interest = (!self.gone || !interest.is_empty()).then_some(interest);
        if self.socket.want(interest).is_err() {
            (self.gone, self.reads) = (true, false);
        }
    }
}

impl Drop for Client {
    /// Ends the connection even if the engine still has a copy of the socket.
    fn drop(&mut self) {
        // Input that nobody read would turn the end of the stream into a reset, at the cost of the output before it.
        let _ = shutdown(&self.socket, Shutdown::Both);
        let mut rest = [0; 512];
        while recv(&self.socket, &mut rest, RecvFlags::DONTWAIT).is_ok_and(|(count, _)| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn client(multiplexed: bool, detach_keys: &[u8]) -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let streams =
            Streams { stdin: true, stdout: true, stderr: true, multiplexed, detach_keys: detach_keys.to_vec() };
        let client = Client::new(&Poll::new().unwrap(), 0, 0, (ours.into(), streams), true, !detach_keys.is_empty());
        (client, theirs)
    }

    #[test]
    fn frames_have_dockers_header() {
        let (mut client, mut peer) = client(true, &[]);
        client.output(Stream::Stdout, b"out");
        client.output(Stream::Stderr, b"error");
        drop(client);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x05error");
    }

    #[test]
    fn nothing_is_lost_when_the_client_is_slow() {
        let (mut client, mut peer) = client(true, &[]);
        let mut expected = Vec::new();
        for round in 0..100_u8 {
            let chunk = vec![round; 10_000];
            expected.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0x27, 0x10]);
            expected.extend_from_slice(&chunk);
            client.output(Stream::Stdout, &chunk);
        }
        assert!(client.is_full());
        client.close_when_sent();
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received)
        });
        while !client.is_done() {
            client.flush();
        }
        drop(client);
        assert_eq!(reader.join().unwrap().unwrap(), expected);
    }

    #[test]
    fn unread_input_does_not_reset_the_connection() {
        let (mut client, mut peer) = client(false, &[]);
        peer.write_all(&[b'x'; 2000]).unwrap();
        client.output(Stream::Stdout, b"last words");
        drop(client);
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "last words");
    }

    #[test]
    fn input_ends_or_detaches() {
        let mut scratch = [0; 64];
        let (mut ending, mut peer) = client(false, &[]);
        peer.write_all(b"abc").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(ending.input(&mut scratch), Input::Plain(3));
        assert_eq!(&scratch[..3], b"abc");
        assert_eq!(ending.input(&mut scratch), Input::End(Vec::new()));
        assert!(!ending.is_done(), "it still gets output");
        let (mut leaving, mut peer) = client(false, &[16, 17]);
        peer.write_all(b"abc\x10\x11").unwrap();
        assert_eq!(leaving.input(&mut scratch), Input::Detach(b"abc".to_vec()));
    }

    #[test]
    fn a_dead_client_is_noticed_when_it_is_written_to() {
        let (mut client, peer) = client(false, &[]);
        drop(peer);
        client.output(Stream::Stdout, b"x");
        client.reads = false;
        assert!(client.is_done());
        assert!(!client.is_pending());
    }
}
