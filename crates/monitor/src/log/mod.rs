//! The record of a container's streams: written by the monitor, to a json-file or a collector, read back by the engine.

mod compress;
mod encode;
mod lines;
mod output;
mod remote;
mod rotate;
mod seek;
mod writer;

pub mod entry;
pub mod follow;
pub mod reader;
pub mod tail;

pub use entry::Entry;
pub use follow::Follower;
pub(crate) use output::Log;
pub use reader::{Filter, Reader};
pub(crate) use writer::LogFile;

use serde::{Deserialize, Serialize};

/// One of a process's streams; a terminal's output counts as [`Stream::Stdout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard input, where it is recorded.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in the log file.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdin => "stdin",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// The number in Docker's multiplexed frames.
    pub fn number(self) -> u8 {
        match self {
            Stream::Stdin => 0,
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }
}
