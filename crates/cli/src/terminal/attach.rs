//! Moves bytes between the person and a process in a container.
//!
//! Two threads with plain blocking calls: output must go on flowing while the main thread waits for the engine, and
//! standard input may be anything, regular files included, which no event loop can wait for. A program that is silent to
//! its end costs no thread. Once attached the streams are a matter between this process and the container's monitor; an
//! engine that dies meanwhile does not matter.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use wharf_client::{Chunk, Demultiplexer, Hijacked, Source, Stream};

use super::detach::Watch;
use crate::failure::{Failure, Outcome};

/// What of the person's streams is connected.
pub struct Wiring {
    /// Send standard input.
    pub stdin: bool,
    /// Say when standard input has ended. Docker's engines take that as the end of the whole connection unless the
    /// container was made to end its own standard input then; so it is said only where it means no more than it says.
    pub half_close: bool,
    /// The container has a terminal: its output is one raw stream.
    pub tty: bool,
    /// Keys that detach; only with a terminal.
    pub detach_keys: Vec<u8>,
}

/// A running connection.
pub struct Session {
    ended: oneshot::Receiver<End>,
    /// Set once the output has ended.
    pub done: Arc<AtomicBool>,
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The container closed its output.
    Output(io::Result<()>),
    /// The person typed the keys that detach.
    Detached,
}

impl Session {
    /// Starts moving bytes.
    pub fn start(hijacked: Hijacked, wiring: Wiring) -> Outcome<Self> {
        let (stream, early, multiplexed) = hijacked.into_parts();
        let framed = multiplexed.unwrap_or(!wiring.tty);
        let (report, ended) = Report::new();
        let session = Self { ended, done: Arc::clone(&report.done) };
        if wiring.stdin {
            let (reader, writer) = blocking(stream)?;
            send_input(writer, wiring, report.clone())?;
            show_output(reader, early, framed, report)?;
        } else {
            tokio::spawn(async move {
                if let Err(error) = await_output(stream, early, framed, &report).await {
                    report.output_ended(Err(error));
                }
            });
        }
        Ok(session)
    }

    /// Waits until the output ends or the person detaches.
    pub async fn end(&mut self) -> Outcome<End> {
        match (&mut self.ended).await {
            Ok(End::Output(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::silent(0)),
            Ok(End::Output(Err(error))) => {
                Err(Failure::new(format!("the container's output broke off: {}", crate::output::os_error(&error))))
            }
            Ok(end) => Ok(end),
            Err(_) => Ok(End::Output(Ok(()))),
        }
    }
}

/// Where the threads say how the connection ended: whoever is first.
#[derive(Clone)]
struct Report {
    done: Arc<AtomicBool>,
    sender: Arc<Mutex<Option<oneshot::Sender<End>>>>,
}

impl Report {
    fn new() -> (Self, oneshot::Receiver<End>) {
        let (sender, receiver) = oneshot::channel();
        (Self { done: Arc::default(), sender: Arc::new(Mutex::new(Some(sender))) }, receiver)
    }

    fn output_ended(&self, result: io::Result<()>) {
        self.done.store(true, Ordering::Release);
        self.tell(End::Output(result));
    }

    fn tell(&self, end: End) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody listens any more when the command has ended for another reason.
        let _ = sender.map(|sender| sender.send(end));
    }
}

/// Sends standard input in a thread of its own.
fn send_input(mut writer: Box<dyn HalfClose>, wiring: Wiring, report: Report) -> io::Result<()> {
    let watch = Watch::new(if wiring.tty { wiring.detach_keys } else { Vec::new() });
    let copy = move || match copy_input(&mut *writer, watch) {
        Typed::Detach => report.tell(End::Detached),
        // An output that has ended says so itself.
        Typed::End if wiring.half_close => drop(writer.close()),
        Typed::End => {}
    };
    thread::Builder::new().name("stdin".into()).spawn(copy).map(drop)
}

/// Shows output in a thread of its own.
fn show_output(reader: Box<dyn Read + Send>, early: Bytes, framed: bool, report: Report) -> io::Result<()> {
    let copy = move || {
        report.output_ended(if framed { copy_frames(reader, &early) } else { copy_raw(reader, &early) });
    };
    thread::Builder::new().name("output".into()).spawn(copy).map(drop)
}

/// Waits for the first output, and only then begins a thread to show it.
async fn await_output(mut stream: Stream, early: Bytes, framed: bool, report: &Report) -> io::Result<()> {
    let mut first = BytesMut::from(early);
    if first.is_empty() {
        let count = match stream.read_buf(&mut first).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        if count == 0 {
            report.output_ended(Ok(()));
            return Ok(());
        }
    }
    show_output(blocking(stream)?.0, first.freeze(), framed, report.clone())
}

/// Both directions of a connection, blocking.
pub fn blocking(stream: Stream) -> io::Result<(Box<dyn Read + Send>, Box<dyn HalfClose>)> {
    Ok(match stream {
        Stream::Unix(stream) => {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            (Box::new(stream.try_clone()?), Box::new(stream))
        }
        Stream::Tcp(stream) => {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            (Box::new(stream.try_clone()?), Box::new(stream))
        }
    })
}

/// A writer that can say "that was all" while reading goes on.
pub trait HalfClose: Write + Send {
    /// Says it.
    fn close(&mut self) -> io::Result<()>;
}

impl HalfClose for std::os::unix::net::UnixStream {
    fn close(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl HalfClose for std::net::TcpStream {
    fn close(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// How much is read at once.
const BUFFER: usize = 64 * 1024;

/// How standard input came to its end.
enum Typed {
    End,
    Detach,
}

/// Copies standard input until it ends or the person detaches.
fn copy_input(writer: &mut dyn HalfClose, mut watch: Watch) -> Typed {
    let mut buffer = vec![0; BUFFER];
    let mut stdin = io::stdin().lock();
    loop {
        let count = match stdin.read(&mut buffer) {
            Ok(0) => return Typed::End,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Typed::End,
        };
        let (bytes, detached) = watch.filter(&buffer[..count]);
        // A container that reads no more is no failure of ours: its output says how it ended.
        let sent = writer.write_all(&bytes);
        if detached {
            return Typed::Detach;
        }
        if sent.is_err() {
            return Typed::End;
        }
    }
}

fn copy_raw(mut reader: Box<dyn Read + Send>, early: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(early)?;
    stdout.flush()?;
    let mut buffer = vec![0; BUFFER];
    while let Some(count) = read_some(&mut *reader, &mut buffer)? {
        stdout.write_all(&buffer[..count])?;
        stdout.flush()?;
    }
    Ok(())
}

fn copy_frames(mut reader: Box<dyn Read + Send>, early: &[u8]) -> io::Result<()> {
    let mut frames = Demultiplexer::default();
    frames.feed(early);
    let mut buffer = vec![0; BUFFER];
    loop {
        while let Some(chunk) = frames.next_chunk().map_err(io::Error::other)? {
            write_chunk(&chunk)?;
        }
        match read_some(&mut *reader, &mut buffer)? {
            Some(count) => frames.feed(&buffer[..count]),
            None => return frames.finish().map_err(io::Error::other),
        }
    }
}

/// Writes a piece of output to where it belongs.
pub fn write_chunk(chunk: &Chunk) -> io::Result<()> {
    match chunk.source {
        Source::Stderr | Source::System => io::stderr().lock().write_all(&chunk.bytes),
        _ => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&chunk.bytes).and_then(|()| stdout.flush())
        }
    }
}

fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match reader.read(buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
