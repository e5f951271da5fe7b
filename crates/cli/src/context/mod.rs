//! Contexts: engines by name, in the folder and the format of Docker's client, so that both see the same.
//!
//! `contexts/meta/DIGEST/meta.json` describes one, `contexts/tls/DIGEST/docker/` has its certificates; the digest is
//! that of the name. Which one is current stands in `config.json`.

mod archive;
mod store;

pub use archive::{pack, unpack};
pub use store::{Context, Store, TLS_FILES, check_name};

/// The context that is no context: what the environment and the default socket say.
pub const DEFAULT: &str = "default";
