//! The vocabulary of wharf: digests, image references, platforms, identifiers and errors.
//!
//! Everything here is plain data. No function of this crate does I/O, and none is asynchronous.

mod digest;
mod duration;
mod error;
mod id;
mod platform;
mod reference;
mod span;

pub use digest::{Digest, DigestError, Hasher};
pub use duration::{DurationError, parse_duration};
pub use error::{Error, Kind, Result, ResultExt};
pub use id::{Id, IdError, validate_name};
pub use platform::{Platform, PlatformError};
pub use reference::{DEFAULT_DOMAIN, DEFAULT_TAG, Reference, ReferenceError, is_repository, is_tag};
pub use span::span_in_words;
