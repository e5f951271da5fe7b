//! A terminal for programs that want one.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A program whose three streams are a terminal that the test holds the other end of.
#[derive(Debug)]
pub struct Terminal {
    controller: File,
    child: Child,
}

impl Terminal {
    /// Starts `command` on a new terminal of 30 rows and 100 columns.
    ///
    /// # Errors
    /// Whatever the kernel says of the terminal or of the program.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        tcsetwinsize(&controller, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 })?;
        let end = ioctl_tiocgptpeer(&controller, flags)?;
        command.stdin(end.try_clone()?).stdout(end.try_clone()?).stderr(end);
        let child = command.spawn()?;
        // The command keeps its copies of the terminal's end until it is given others.
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        Ok(Self { controller: File::from(controller), child })
    }

    /// Types.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn send(&mut self, keys: &str) -> io::Result<()> {
        self.controller.write_all(keys.as_bytes())
    }

    /// Reads until `text` was seen or the terminal is closed; gives everything read.
    ///
    /// # Errors
    /// Other failures than a closed terminal.
    pub fn read_until(&mut self, text: &str) -> io::Result<String> {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.controller.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => seen.extend_from_slice(&buffer[..count]),
                // All other ends are closed (tty_io.c).
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => break,
                Err(error) => return Err(error),
            }
            if !text.is_empty() && String::from_utf8_lossy(&seen).contains(text) {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&seen).into_owned())
    }

    /// Reads to the end and waits for the program.
    ///
    /// # Errors
    /// As [`Terminal::read_until`].
    pub fn finish(mut self) -> io::Result<(ExitStatus, String)> {
        let rest = self.read_until("")?;
        Ok((self.child.wait()?, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_a_terminal() {
        let mut terminal =
            Terminal::start(Command::new("sh").args(["-c", "test -t 0 && stty size; read x; echo got-$x"])).unwrap();
        assert!(terminal.read_until("30 100").unwrap().contains("30 100"));
        terminal.send("word\n").unwrap();
        let (status, text) = terminal.finish().unwrap();
        assert!(status.success() && text.contains("got-word"), "{text}");
    }
}
