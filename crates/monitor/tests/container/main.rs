//! Real containers under a real monitor: busybox in a folder. Needs root and /bin/busybox (Debian's busybox-static).

mod fixture;

mod clients;
mod endings;
mod execs;
mod failures;
mod terminal;
