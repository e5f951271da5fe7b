//! Real containers under a real monitor: busybox in a folder. Needs root and /bin/busybox (Debian's busybox-static).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that unwraps fails with the place and the reason")]

mod fixture;

mod clients;
mod endings;
mod execs;
mod failures;
mod terminal;
