//! The json-file log: written by the monitor, read back by the engine.

mod compress;
mod encode;
mod lines;
mod rotate;
mod writer;

pub mod entry;
pub mod follow;
pub mod reader;
pub mod tail;

pub use entry::Entry;
pub use follow::Follower;
pub use reader::{Filter, Reader};
pub(crate) use writer::LogFile;

use serde::{Deserialize, Serialize};

/// One of a process's two output streams; a terminal's output counts as [`Stream::Stdout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The name in the log file.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    /// The number in Docker's multiplexed frames.
    pub fn number(self) -> u8 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }
}
