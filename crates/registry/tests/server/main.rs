//! The registry's server over HTTP, in this process.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

mod auth;
mod blobs;
mod collect;
mod fixture;
mod listing;
mod manifests;
mod tls;
