//! The process that stands beside each running container: stdio, log, exit status, exec.

pub mod protocol;
