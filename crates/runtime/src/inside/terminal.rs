//! The container's own pseudo-terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs, major, minor, mknodat, open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use wharf_types::{Error, Result, ResultExt};

use super::fsmount;
use super::process::Start;
use crate::channel::Newborn;

const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Makes the file over which [`allocate`] binds the terminal.
pub(super) fn reserve_console(dev: &OwnedFd) -> Result<()> {
    let made = mknodat(dev, "console", FileType::RegularFile, Mode::from_raw_mode(0o600), 0);
    match made {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other.map_err(io::Error::from).context("cannot make /dev/console"),
    }
}

/// A new terminal of the container's /dev/pts, three times its slave side; the caller gets the master side.
pub(super) fn allocate(start: &Start<'_>, channel: &Newborn) -> Result<[OwnedFd; 3]> {
    let master = open_master()?;
    let failed = || "cannot allocate a terminal";
    let errors = io::Error::from;
    unlockpt(&master).map_err(errors).with_context(failed)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).map_err(errors).with_context(failed)?;
    if let Some((rows, columns)) = start.process.tty_size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).map_err(errors).with_context(failed)?;
    }
    if start.first {
        bind_console(&slave).context("cannot bind the terminal at /dev/console")?;
    }
    channel.send_terminal(&master)?;
    let copy = || slave.try_clone().with_context(failed);
    Ok([copy()?, copy()?, slave])
}

/// Opens the multiplexer. In a running container someone may have put something else in its place.
fn open_master() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let master = open("/dev/pts/ptmx", flags, Mode::empty()).map_err(io::Error::from);
    let master = master.context("cannot open /dev/pts/ptmx")?;
    let status = fstat(&master).map_err(io::Error::from)?;
    let kind = fstatfs(&master).map_err(io::Error::from)?.f_type;
    if (major(status.st_rdev), minor(status.st_rdev)) != (5, 2) || kind as u64 != DEVPTS_SUPER_MAGIC {
        return Err(Error::forbidden("/dev/pts/ptmx of the container is not the terminal multiplexer"));
    }
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR).map_err(io::Error::from)?;
    Ok(master)
}

/// Without a /dev of its own the container has no reserved place, and needs none.
fn bind_console(slave: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match open("/dev/console", flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(console) => {
            fsmount::copy(slave, Path::new(""), false)?.attach(console)?;
            Ok(())
        }
    }
}
