//! Building images: from a Dockerfile to a graph of steps to layers.
//!
//! [`dockerfile`] and [`ignore`] are the language: pure, synchronous, without any I/O. [`plan`] makes a graph of it, still
//! pure. [`files`] is what `COPY` does. [`solve`] carries a graph out: each step is looked up in the [`cache`] and run only
//! if nobody ever ran it on the same content. Whoever builds lends a [`Host`]: images, an executor of commands, contexts.

pub mod cache;
pub mod dockerfile;
pub mod files;
pub mod host;
pub mod ignore;
pub mod pattern;
pub mod plan;
pub mod progress;
pub mod solve;

pub use host::Host;
