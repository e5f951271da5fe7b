//! Wire types and version rules of the Docker Engine API, 1.24 to 1.55.
//!
//! Pure data: names, casing and explicit `null`s are those that Docker's daemon sends. What a daemon leaves out when it
//! is empty is a [`Vec`], [`BTreeMap`](std::collections::BTreeMap) or [`Option`] that is skipped; what it sends as
//! `null` when it was never set is a [`List`] or [`Map`], which remember the difference between unset and empty.
//!
//! Read foreign JSON with [`decode`]: it is as lenient as Docker's own decoder (keys in any case, `null` for anything,
//! unknown keys ignored). What this crate wrote itself can be read by plain `serde_json` as well.

pub mod build;
pub mod container;
pub mod error;
pub mod event;
pub mod exec;
pub mod filters;
pub mod image;
mod lenient;
pub mod network;
mod nullable;
pub mod port;
pub mod system;
pub mod version;
pub mod volume;

pub use error::ErrorResponse;
pub use lenient::{decode, decode_value};
pub use nullable::{Empty, List, Map};
pub use version::ApiVersion;
