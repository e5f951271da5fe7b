//! Makes the pipes between a process and its monitor.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use wharf_runtime::Stdio;
use wharf_types::{Result, ResultExt};

use crate::session::Ends;

/// Pipes for a process without a terminal: its ends and the monitor's. Without `stdin` its input is /dev/null;
/// without `output` so are both of its outputs.
pub(crate) fn pipes(stdin: bool, output: bool) -> Result<(Stdio, Ends)> {
    let (stdin_theirs, stdin_ours) = if stdin { incoming()? } else { (null(false)?, None) };
    let (stdout_theirs, stdout_ours) = if output { outgoing()? } else { (null(true)?, None) };
    let (stderr_theirs, stderr_ours) = if output { outgoing()? } else { (null(true)?, None) };
    let ends = Ends { stdin: stdin_ours, stdout: stdout_ours, stderr: stderr_ours, tty: false };
    Ok((Stdio::streams(stdin_theirs, stdout_theirs, stderr_theirs), ends))
}

fn incoming() -> Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from).context("cannot make a pipe")?;
    unblock(&writer)?;
    Ok((reader, Some(writer)))
}

fn outgoing() -> Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(std::io::Error::from).context("cannot make a pipe")?;
    unblock(&reader)?;
    Ok((writer, Some(reader)))
}

/// How wide a pipe through which much flows is made, in bytes.
const WIDE: usize = 1 << 20;

/// Makes a pipe wide. Where the host allows no more (pipe(7), pipe-max-size), it stays as it is; a terminal, too.
pub(crate) fn widen(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, WIDE);
}

/// The monitor's ends of a terminal.
pub(crate) fn terminal(master: OwnedFd) -> Result<Ends> {
    unblock(&master)?;
    let stdin = master.try_clone().context("cannot duplicate the terminal")?;
    Ok(Ends { stdin: Some(stdin), stdout: Some(master), stderr: None, tty: true })
}

fn unblock(fd: impl AsFd) -> Result<()> {
    let set = fcntl_getfl(&fd).and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK));
    set.map_err(std::io::Error::from).context("cannot prepare a stream")
}

fn null(write: bool) -> Result<OwnedFd> {
    let file = if write { File::options().write(true).open("/dev/null") } else { File::open("/dev/null") };
    Ok(file.context("cannot open /dev/null")?.into())
}
