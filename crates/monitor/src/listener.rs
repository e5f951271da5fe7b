//! `monitor.sock`, where later engines find the monitor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll::EventFlags;
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use rustix::net::{SocketFlags, bind, listen};
use wharf_types::{Result, ResultExt};

use crate::poll::{Poll, Token, Watched};
use crate::wire;

/// The socket's name in the monitor's folder.
pub(crate) const NAME: &str = "monitor.sock";

/// The listening socket; its name goes when this is dropped.
pub(crate) struct Listener {
    folder: OwnedFd,
    socket: Option<Watched>,
}

impl Listener {
    /// Listens in the folder `run_dir`.
    pub(crate) fn bind(poll: &Poll, run_dir: &Path) -> Result<Self> {
        let folder = File::open(run_dir).with_context(|| format!("cannot open the folder {}", run_dir.display()))?;
        let socket = bound(folder.as_fd()).with_context(|| format!("cannot listen in {}", run_dir.display()))?;
        let mut socket = poll.watch(socket, Token::Listener);
        socket.want(Some(EventFlags::IN)).context("cannot wait for connections")?;
        Ok(Self { folder: folder.into(), socket: Some(socket) })
    }

    /// The listening socket, unless it is closed.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Listens no more.
    pub(crate) fn close(&mut self) {
        if self.socket.take().is_some() {
            // Whoever removed the folder meanwhile has done this, too.
            let _ = unlinkat(&self.folder, NAME, AtFlags::empty());
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

fn bound(folder: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (socket, address) = wire::socket_in(folder, NAME, SocketFlags::NONBLOCK)?;
    match unlinkat(folder, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    bind(&socket, &address)?;
    listen(&socket, 64)?;
    Ok(socket)
}
