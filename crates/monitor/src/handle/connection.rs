//! A connection to a monitor, asynchronously.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, connect};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wharf_types::{Error, Result, ResultExt};

use crate::listener;
use crate::protocol::{Event, Reply, Request};
use crate::readiness::watch;
use crate::wire;

/// How long to wait before knocking again at a monitor with a full queue.
const KNOCK: Duration = Duration::from_millis(5);

/// How often to knock.
const KNOCKS: u32 = 400;

#[derive(Debug)]
pub(crate) struct Connection(AsyncFd<OwnedFd>);

impl Connection {
    /// Takes over a connected socket.
    pub(crate) fn new(socket: OwnedFd) -> Result<Self> {
        let socket = crate::monitor::unblock(socket)?;
        watch(socket, Interest::READABLE | Interest::WRITABLE).map(Self).context("cannot wait for the monitor")
    }

    /// Connects to the monitor in the folder `run_dir`.
    pub(crate) async fn open(run_dir: &Path) -> Result<Self> {
        for _ in 0..KNOCKS {
            match knock(run_dir) {
                Ok(socket) => return Self::new(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(KNOCK).await,
                Err(error) => return Err(not_there(error)),
            }
        }
        Err(silent())
    }

    /// Sends a request and waits for its answer. Events that come in between are lost.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
        patience: Duration,
    ) -> Result<Answer> {
        let answer = async {
            self.send(request, descriptors).await?;
            loop {
                match self.receive().await?.ok_or_else(hung_up)? {
                    Reply::Event(_) => {}
                    reply => return Ok(Answer(reply)),
                }
            }
        };
        within(patience, answer).await
    }

    /// Makes this a connection for events; returns those that came before the answer.
    pub(crate) async fn subscribe(&mut self, patience: Duration) -> Result<Vec<Event>> {
        let subscribed = async {
            self.send(&Request::Subscribe, &[]).await?;
            let mut early = Vec::new();
            loop {
                match self.receive().await?.ok_or_else(hung_up)? {
                    Reply::Event(event) => early.push(event),
                    reply => return Answer(reply).into_result().map(|_| early),
                }
            }
        };
        within(patience, subscribed).await
    }

    pub(crate) async fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        loop {
            let mut ready = self.0.writable().await.context("cannot wait for the monitor")?;
            match ready.try_io(|socket| wire::send(socket, request, descriptors)) {
                Ok(sent) => return sent.map_err(|error| hung_up().caused_by(error)),
                Err(_would_block) => {}
            }
        }
    }

    /// Sends a request that nobody waits for, if it can be sent at once.
    pub(crate) fn send_now(&self, request: &Request) -> io::Result<()> {
        wire::send(self.0.get_ref(), request, &[])
    }

    /// Whether the other side has the connection open.
    pub(crate) fn is_open(&self) -> bool {
        let mut pollfd = [PollFd::new(self.0.get_ref(), PollFlags::empty())];
        let ready = poll(&mut pollfd, Some(&Timespec::default()));
        ready.is_ok() && !pollfd[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
    }

    /// The next answer or event; `None` when the monitor has closed the connection. Cancellation loses nothing.
    pub(crate) async fn receive(&self) -> Result<Option<Reply>> {
        loop {
            let mut ready = self.0.readable().await.context("cannot wait for the monitor")?;
            let Ok(received) = ready.try_io(wire::receive) else { continue };
            return match received {
                Ok(Some(received)) => received.document().map(Some).map_err(|error| {
                    Error::system("the container's monitor gave an answer that cannot be understood").caused_by(error)
                }),
                Ok(None) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
                Err(error) => Err(error).context("cannot receive from the monitor"),
            };
        }
    }
}

/// An answer that may be a refusal.
#[derive(Debug)]
pub(crate) struct Answer(Reply);

impl Answer {
    pub(crate) fn into_result(self) -> Result<Reply> {
        match self.0 {
            Reply::Failed { kind, message, hint } => {
                let error = Error::new(kind, message);
                Err(match hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
            reply => Ok(reply),
        }
    }
}

pub(crate) fn unexpected(reply: &Reply) -> Error {
    Error::system(format!("the container's monitor gave an answer to another question: {reply:?}"))
}

pub(crate) async fn within<T>(patience: Duration, action: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(patience, action).await.unwrap_or_else(|_| Err(silent()))
}

fn knock(run_dir: &Path) -> io::Result<OwnedFd> {
    let folder = File::open(run_dir)?;
    let (socket, address) = wire::socket_in(folder.as_fd(), listener::NAME, SocketFlags::NONBLOCK)?;
    connect(&socket, &address)?;
    Ok(socket)
}

fn not_there(error: io::Error) -> Error {
    let gone = [Errno::NOENT, Errno::CONNREFUSED].iter().any(|gone| error.raw_os_error() == Some(gone.raw_os_error()));
    match gone {
        true => Error::not_found("the container's monitor is not running").caused_by(error),
        false => Error::system("cannot connect to the container's monitor").caused_by(error),
    }
}

fn silent() -> Error {
    Error::unavailable("the container's monitor does not answer")
        .with_hint("look for a process named wharf-monitor that is stopped, or kill the container")
}

fn hung_up() -> Error {
    Error::unavailable("the container's monitor ended the conversation")
        .with_hint("the container has probably just ended")
}
