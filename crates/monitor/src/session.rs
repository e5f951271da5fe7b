//! One process in the container, its streams and its clients: the first process, or an exec.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::termios::Winsize;
use wharf_runtime::Child;
use wharf_types::{Error, Result, ResultExt};

use crate::client::{Client, Input};
use crate::log::{Log, Stream};
use crate::poll::{Poll, Token, Watched};
use crate::protocol::Streams;
use crate::stdin::Stdin;
use crate::stdio;

/// How long output is waited for when the process has ended and something outside still holds its streams open.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The monitor's ends of a process's streams; none of them blocks.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Standard input, or the terminal.
    pub stdin: Option<OwnedFd>,
    /// Standard output, or the terminal.
    pub stdout: Option<OwnedFd>,
    /// Standard error; none with a terminal.
    pub stderr: Option<OwnedFd>,
    /// Whether it is a terminal.
    pub tty: bool,
}

/// A process with its streams.
pub(crate) struct Session {
    key: u32,
    process: Child,
    watch: Watched,
    exit: Option<(i32, Instant)>,
    finished: bool,
    tty: bool,
    outputs: [Option<Watched>; 2],
    /// How often a read took as much as there was room for.
    full_reads: [u8; 2],
    stdin: Stdin,
    /// Standard input closes with the first client whose input ends.
    stdin_once: bool,
    clients: Vec<Client>,
    next_client: u32,
    poll: Poll,
    /// The log, for the first process.
    pub log: Option<Log>,
    /// What it wrote, as far as there is room: for a health check.
    pub capture: Option<Capture>,
}

/// After so many reads that took as much as there was room for, a process writes fast.
const BUSY: u8 = 8;

/// How many bytes of a health check's output are kept.
const CAPTURED: usize = 4096;

/// The beginning of a process's output.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    fn add(&mut self, bytes: &[u8]) {
        let room = (CAPTURED - self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        self.cut |= room < bytes.len();
    }

    /// As text, with dots for what had no room.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.bytes), if self.cut { "..." } else { "" })
    }
}

impl Session {
    /// A session of `process`, whose number among all sessions is `key`.
    pub(crate) fn new(poll: &Poll, key: u32, process: Child, ends: Ends, stdin_once: bool) -> Result<Self> {
        let pidfd = process.pidfd().try_clone_to_owned();
        let mut watch = poll.watch(pidfd.context("cannot duplicate a pidfd")?, Token::Process(key));
        watch.want(Some(EventFlags::IN)).context("cannot wait for the process")?;
        let output = |fd: Option<OwnedFd>, stream| fd.map(|fd| poll.watch(fd, Token::Output(key, stream)));
        let mut session = Self {
            key,
            process,
            watch,
            exit: None,
            finished: false,
            tty: ends.tty,
            outputs: [output(ends.stdout, Stream::Stdout), output(ends.stderr, Stream::Stderr)],
            full_reads: [0; 2],
            stdin: Stdin::new(poll, key, ends.stdin),
            stdin_once,
            clients: Vec::new(),
            next_client: 0,
            poll: poll.clone(),
            log: None,
            capture: None,
        };
        session.rearm();
        Ok(session)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// The process's pidfd.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd()
    }

    /// Takes a client in.
    pub(crate) fn attach(&mut self, socket: OwnedFd, streams: Streams) {
        let id = self.next_client;
        self.next_client += 1;
        self.clients.push(Client::new(&self.poll, self.key, id, (socket, streams), self.stdin.is_open(), self.tty));
        self.rearm();
    }

    /// Reads output if there is any and hands it to the log and the clients. `false` when there was none.
    pub(crate) fn output(&mut self, stream: Stream, scratch: &mut [u8]) -> bool {
        let slot = usize::from(stream.number()) - 1;
        let Some(output) = &self.outputs[slot] else { return false };
        match rustix::io::retry_on_intr(|| rustix::io::read(output, &mut *scratch)) {
            Ok(count) if count > 0 => {
                if count == scratch.len() {
                    self.full_reads[slot] = self.full_reads[slot].saturating_add(1);
                    if self.full_reads[slot] == BUSY && !self.tty {
                        stdio::widen(output);
                    }
                }
                let bytes = &scratch[..count];
                self.clients.iter_mut().for_each(|client| client.output(stream, bytes));
                self.capture.iter_mut().for_each(|capture| capture.add(bytes));
                if let Some(log) = &mut self.log {
                    log.append(stream, bytes);
                }
                true
            }
            Err(Errno::AGAIN) => false,
            // The end; a terminal that nobody has open any more says EIO.
            _ => {
                self.end_output(stream);
                false
            }
        }
    }

    fn end_output(&mut self, stream: Stream) {
        let ended = self.outputs[usize::from(stream.number()) - 1].take();
        if let Some(log) = self.log.as_mut().filter(|_| ended.is_some()) {
            log.finish(stream);
        }
    }

    /// Something happened on a client's connection. `true` if it left with its detach keys.
    pub(crate) fn client(&mut self, id: u32, flags: EventFlags, scratch: &mut [u8]) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.id() == id) else { return false };
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            client.hung_up();
        }
        if flags.contains(EventFlags::OUT) {
            client.flush();
        }
        if !client.reads()
            || !self.stdin.has_room()
            || !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR)
        {
            return false;
        }
        match client.input(scratch) {
            Input::Plain(count) => {
                self.write_input(&scratch[..count]);
                false
            }
            Input::Bytes(bytes) => {
                self.write_input(&bytes);
                false
            }
            Input::End(bytes) => {
                self.write_input(&bytes);
                self.input_ended(id);
                false
            }
            Input::Detach(bytes) => {
                self.write_input(&bytes);
                self.close_client(id);
                true
            }
        }
    }

    fn write_input(&mut self, bytes: &[u8]) {
        if let Some(log) = self.log.as_mut().filter(|_| self.stdin.is_open() && !bytes.is_empty()) {
            log.append(Stream::Stdin, bytes);
        }
        self.stdin.write(bytes);
    }

    /// As Docker does: a client's end of input is the process's if that was agreed; else the client is done.
    fn input_ended(&mut self, id: u32) {
        if self.stdin_once && !self.tty {
            self.stdin.close();
        } else {
            self.close_client(id);
        }
    }

    fn close_client(&mut self, id: u32) {
        self.clients.iter_mut().filter(|client| client.id() == id).for_each(Client::close_when_sent);
    }

    /// There is room in standard input again.
    pub(crate) fn input_ready(&mut self) {
        self.stdin.flush();
    }

    /// Drops clients that are done and settles what each descriptor waits for.
    pub(crate) fn rearm(&mut self) {
        self.clients.retain(|client| !client.is_done());
        let held_up = self.clients.iter().any(Client::is_full) || self.log.as_ref().is_some_and(Log::is_full);
        let interest = (!held_up).then_some(EventFlags::IN);
        for output in &mut self.outputs {
            if let Some(watched) = output
                && watched.want(interest).is_err()
            {
                *output = None;
            }
        }
        self.stdin.rearm();
        let room = self.stdin.has_room();
        self.clients.iter_mut().for_each(|client| client.rearm(room));
    }

    /// Reaps the process if it has ended: its exit code, 128 + signal for one that was killed. Only the first time.
    pub(crate) fn reap(&mut self) -> Option<i32> {
        if self.exit.is_some() {
            return None;
        }
        let code = self.process.try_wait().unwrap_or(Some(255))?;
        self.exit = Some((code, Instant::now()));
        // Failing means that the descriptor is not in the set.
        let _ = self.watch.want(None);
        Some(code)
    }

    /// The exit code, if the end has been seen.
    pub(crate) fn exit(&self) -> Option<i32> {
        self.exit.map(|(code, _)| code)
    }

    /// After the process has ended: whether its output has ended too, or has been waited for long enough.
    pub(crate) fn is_silent(&self) -> bool {
        self.outputs.iter().all(Option::is_none) || self.exit.is_some_and(|(_, since)| since.elapsed() > GRACE)
    }

    /// The output is over: closes all streams, and the clients as soon as they have received everything.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        [Stream::Stdout, Stream::Stderr].into_iter().for_each(|stream| self.end_output(stream));
        self.stdin.close();
        for client in &mut self.clients {
            client.close_when_sent();
            client.flush();
        }
        self.rearm();
    }

    /// The log with everything in it that the streams had; nothing is written to it any more.
    pub(crate) fn end_log(&mut self) -> Option<Log> {
        [Stream::Stdout, Stream::Stderr].into_iter().for_each(|stream| self.end_output(stream));
        self.log.iter_mut().for_each(|log| log.finish(Stream::Stdin));
        self.log.take()
    }

    /// Whether everything is over: [`Session::finish`] was called and no client is owed anything.
    pub(crate) fn is_over(&self) -> bool {
        self.finished && !self.is_owing()
    }

    /// Whether a client is still owed output.
    pub(crate) fn is_owing(&self) -> bool {
        self.clients.iter().any(Client::is_pending)
    }

    /// Whether time matters to this session: a client is slow, or the streams outlive the process.
    pub(crate) fn needs_clock(&self) -> bool {
        self.exit.is_some() || self.is_owing() || self.log.as_ref().is_some_and(Log::needs_clock)
    }

    /// The descriptors on which output may still come.
    pub(crate) fn open_outputs(&self) -> impl Iterator<Item = (Stream, &Watched)> {
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .zip(&self.outputs)
            .filter_map(|(stream, fd)| Some((stream, fd.as_ref()?)))
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        let ended = || Error::conflict("the process has ended");
        if self.exit.is_some() {
            return Err(ended());
        }
        match wharf_sys::process::send_signal(self.process.pidfd(), signal) {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Err(ended()),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                Err(Error::invalid(format!("there is no signal {signal}")))
            }
            result => result.context("cannot send the signal"),
        }
    }

    /// Sets the terminal's size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let terminal = self.outputs[0].as_ref().filter(|_| self.tty);
        let terminal = terminal.ok_or_else(|| Error::conflict("the process has no terminal"))?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal, size)
            .map_err(std::io::Error::from)
            .context("cannot resize the terminal")
    }
}
