//! A program that has run.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use crate::wait::PATIENCE;

/// How a program ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code, 128 + signal if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started, or does not end within the test kit's patience; it is killed then, so that the test can
    /// clean up after itself.
    pub fn of(command: &mut Command, input: &[u8]) -> Self {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let what = format!("{command:?}");
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = spawned.unwrap_or_else(|error| panic!("{what}: {error}"));
        collect(child, input.to_vec(), &what)
    }

    /// Waits for a program that was started with piped output.
    ///
    /// # Panics
    /// As [`Output::of`].
    pub fn of_child(child: Child) -> Self {
        collect(child, Vec::new(), "a program in the background")
    }

    /// The output itself if the program ended with success.
    ///
    /// # Panics
    /// With everything it wrote, if it did not.
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// The output itself if the program ended with this code.
    ///
    /// # Panics
    /// With everything it wrote, if it did not.
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "exit code {} instead of {code}\n{}\n{}", self.code, self.stdout, self.stderr);
        self
    }

    /// Standard output without the line end.
    pub fn line(&self) -> &str {
        self.stdout.trim_end()
    }
}

fn collect(mut child: Child, input: Vec<u8>, what: &str) -> Output {
    let stdin = child.stdin.take();
    // A program may leave without reading all of its input; that is its own business.
    let writer = thread::spawn(move || drop(stdin.map(|mut pipe| pipe.write_all(&input))));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let (done, ended) = channel();
    let pid = child.id();
    let waiter = thread::spawn(move || {
        let status = child.wait();
        let output = (status, join(stdout), join(stderr));
        drop(done.send(output));
    });
    match ended.recv_timeout(PATIENCE) {
        Ok((status, stdout, stderr)) => {
            let status = status.unwrap_or_else(|error| panic!("{what}: {error}"));
            drop((writer.join(), waiter.join()));
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Output { code, stdout, stderr }
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            crate::sweep::kill(pid);
            panic!("{what} does not end");
        }
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before a failure is still worth showing.
            drop(pipe.read_to_end(&mut bytes));
        }
        bytes
    })
}

fn join(reader: thread::JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_output_and_code_arrive() {
        let output = Output::of(Command::new("sh").args(["-c", "cat; echo oops >&2; exit 3"]), b"text");
        assert_eq!(output, Output { code: 3, stdout: "text".into(), stderr: "oops\n".into() });
    }

    #[test]
    fn a_signal_shows_in_the_code() {
        assert_eq!(Output::of(Command::new("sh").args(["-c", "kill -9 $$"]), b"").code, 137);
    }
}
