//! Real containers, from a root file system with nothing but busybox. They need root and /bin/busybox (busybox-static).

#![allow(clippy::unwrap_used)] // all of this file is a test

mod cgroups;
mod confinement;
mod exec;
mod failures;
mod files;
mod harness;
mod links;
mod namespaces;
mod processes;
