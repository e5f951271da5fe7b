//! The grammars of flag values. Each takes the text as typed and answers a value or a sentence in Docker's words.

pub mod csv;
pub mod device;
pub mod env_file;
pub mod host;
pub mod mount;
pub mod network;
pub mod number;
pub mod port;
pub mod security;
pub mod time;
pub mod ulimit;
pub mod volume;
