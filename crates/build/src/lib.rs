//! Building images: from a Dockerfile to a graph of steps to layers.
//!
//! [`dockerfile`] and [`ignore`] are the language: pure, synchronous, without any I/O.

pub mod dockerfile;
pub mod ignore;
pub mod pattern;
