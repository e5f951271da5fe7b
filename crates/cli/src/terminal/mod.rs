//! The person's terminal, and the streams between it and a container.

pub mod attach;
pub mod detach;
pub mod raw;
pub mod signals;
