//! Output on its way to a log collector: syslog, GELF, Fluentd or the journal.

mod fluentd;
mod gelf;
mod journald;
mod link;
mod syslog;

use jiff::Timestamp;
use rustix::event::epoll::EventFlags;
use wharf_types::Result;

use super::Stream;
use super::lines::{Line, Splitter};
use crate::poll::Poll;
use crate::protocol::{Collector, LogFormat};
use link::Link;

/// The connection to a collector, and what is not yet a line.
pub(crate) struct Remote {
    link: Link,
    format: LogFormat,
    streams: [StreamState; 3],
}

#[derive(Default)]
struct StreamState {
    splitter: Splitter,
    /// For the pieces of a long line: what they have in common, and how many there were.
    partial: Option<(u64, u32)>,
}

/// One line, or a piece of a long one.
pub(super) struct Message<'a> {
    pub stream: Stream,
    pub text: &'a [u8],
    pub time: Timestamp,
    /// For a piece of a long line.
    pub piece: Option<Piece>,
}

/// Which piece of a long line this is.
pub(super) struct Piece {
    /// The same for all of its pieces.
    pub line: u64,
    /// From 1.
    pub number: u32,
    pub last: bool,
}

impl Remote {
    /// Connects to the collector.
    ///
    /// # Errors
    /// It is not there, unless the person wants that waited for.
    pub(crate) fn open(poll: &Poll, collector: &Collector) -> Result<Self> {
        let link = Link::open(poll, collector)?;
        Ok(Self { link, format: collector.format.clone(), streams: Default::default() })
    }

    /// Sends the lines that `chunk` completes.
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8], time: Timestamp) {
        self.each_line(stream, time, |splitter, emit| splitter.feed(chunk, emit));
    }

    /// The stream has ended: sends what is left of its last line.
    pub(crate) fn finish(&mut self, stream: Stream, time: Timestamp) {
        self.each_line(stream, time, |splitter, emit| splitter.finish(emit));
    }

    fn each_line(
        &mut self,
        stream: Stream,
        time: Timestamp,
        run: impl FnOnce(&mut Splitter, &mut dyn FnMut(Line<'_>)),
    ) {
        let Self { link, format, streams } = self;
        let StreamState { splitter, partial } = &mut streams[usize::from(stream.number())];
        run(splitter, &mut |line| {
            let piece = (line.continued || !line.complete).then(|| {
                let (id, number) = partial.take().map_or((link.next_number(), 1), |(id, number)| (id, number + 1));
                if !line.complete {
                    *partial = Some((id, number));
                }
                Piece { line: id, number, last: line.complete }
            });
            let message = Message { stream, text: line.text, time, piece };
            encode(link, format, &message);
        });
        link.flush();
    }

    /// Whether the container should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.link.is_full()
    }

    /// The connection can be used again, or has broken.
    pub(crate) fn ready(&mut self, flags: EventFlags) {
        self.link.ready(flags);
    }

    /// Whether time matters: something waits for the collector.
    pub(crate) fn needs_clock(&self) -> bool {
        self.link.is_waiting()
    }

    /// Connects again if it is time.
    pub(crate) fn tend(&mut self) {
        self.link.tend();
    }

    /// Sends what is left, not for ever.
    pub(crate) fn wait(&mut self) {
        self.link.drain();
    }

    /// What could not be sent, as a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        self.link.problem()
    }
}

fn encode(link: &mut Link, format: &LogFormat, message: &Message<'_>) {
    match format {
        LogFormat::Syslog(plan) => link.send(syslog::encode(plan, message)),
        LogFormat::Gelf(plan) => {
            for packet in gelf::encode(plan, message, link.is_datagram(), link.next_number()) {
                link.send(packet);
            }
        }
        LogFormat::Fluentd(plan) => link.send(fluentd::encode(plan, message)),
        LogFormat::Journald(fields) => link.send(journald::encode(fields, message)),
    }
}

/// Syslog's and GELF's level: informational, or an error for standard error.
fn level(stream: Stream) -> u8 {
    if stream == Stream::Stderr { 3 } else { 6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CollectorAddress, FluentdPlan};
    use std::io::Read;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    fn collector(address: CollectorAddress, format: LogFormat) -> Collector {
        Collector { address, format, drop_beyond: None, patient: false }
    }

    fn fluentd() -> LogFormat {
        LogFormat::Fluentd(FluentdPlan { tag: "t".into(), fields: vec![], sub_second: false })
    }

    #[test]
    fn lines_reach_a_collector_over_tcp_also_after_it_was_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let poll = Poll::new().unwrap();
        let mut remote = Remote::open(&poll, &collector(CollectorAddress::Tcp(address), fluentd())).unwrap();
        let mut first = listener.accept().unwrap().0;
        remote.append(Stream::Stdout, b"one\ntw", Timestamp::UNIX_EPOCH);
        let mut buffer = [0; 200];
        let count = first.read(&mut buffer).unwrap();
        assert!(buffer[..count].windows(7).any(|part| part == b"log\xa3one"), "{:?}", &buffer[..count]);
        drop(first);
        remote.ready(EventFlags::HUP);
        assert!(remote.needs_clock());
        remote.append(Stream::Stdout, b"o\n", Timestamp::UNIX_EPOCH);
        remote.wait();
        assert_eq!(remote.problem(), None);
        let count = listener.accept().unwrap().0.read(&mut buffer).unwrap();
        assert!(buffer[..count].windows(7).any(|part| part == b"log\xa3two"));
    }

    #[test]
    fn a_collector_that_is_not_there_fails_the_start_or_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = CollectorAddress::Tcp(listener.local_addr().unwrap());
        drop(listener);
        let poll = Poll::new().unwrap();
        let refused = Remote::open(&poll, &collector(address.clone(), fluentd())).err().unwrap();
        assert!(refused.chain().contains("failed to initialize logging driver"), "{}", refused.chain());
        let patient = Collector { patient: true, drop_beyond: Some(100), ..collector(address, fluentd()) };
        let mut remote = Remote::open(&poll, &patient).unwrap();
        for _ in 0..100 {
            remote.append(Stream::Stdout, b"line\n", Timestamp::UNIX_EPOCH);
        }
        assert!(!remote.is_full());
        assert!(remote.problem().unwrap().starts_with("100 messages did not reach"));
    }

    #[test]
    fn datagrams_go_one_by_one() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = CollectorAddress::Udp(socket.local_addr().unwrap());
        let mut remote = Remote::open(&Poll::new().unwrap(), &collector(address, fluentd())).unwrap();
        remote.append(Stream::Stderr, b"a\nb\n", Timestamp::UNIX_EPOCH);
        let mut buffer = [0; 200];
        let sizes = [socket.recv(&mut buffer).unwrap(), socket.recv(&mut buffer).unwrap()];
        assert_eq!(sizes[0], sizes[1]);
    }

    #[test]
    fn what_is_too_long_for_the_journal_goes_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        let fields = vec![("FILLER".to_owned(), "x".repeat(1 << 20))];
        let collector = collector(CollectorAddress::UnixDatagram(path), LogFormat::Journald(fields));
        let mut remote = Remote::open(&Poll::new().unwrap(), &collector).unwrap();
        remote.append(Stream::Stdout, b"long\n", Timestamp::UNIX_EPOCH);
        assert_eq!(remote.problem(), None);
        assert_eq!(socket.recv(&mut [0; 10]).unwrap(), 0, "an empty datagram carries the descriptor");
    }
}
