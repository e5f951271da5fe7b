//! A registry of one's own.
//!
//! Layers, each knowing only those below it: `door` speaks HTTP, `auth` knows who may do what, `cache` fetches from other
//! registries, `registry` knows repositories, manifests, tags and blobs, `store` keeps them. [`serve()`] puts them together.

mod auth;
mod cache;
mod config;
mod door;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod listen;
mod metrics;
mod names;
mod problem;
mod registry;
mod serve;
mod store;

pub use auth::Scheme;
pub use config::{AccessLogTo, Bucket, Config, ForeignTokens, Origin, StoreAt, Tls};
pub use registry::Keeping;
pub use serve::{Server, serve};
