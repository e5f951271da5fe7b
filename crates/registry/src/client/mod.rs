//! The client: pulls, pushes and asks, for any registry that speaks the distribution specification.
//!
//! [`Registry`] holds what outlasts one operation: connections, tokens, what was learnt about hosts. A [`Repository`]
//! is one repository seen by one person. Beneath it a [`host::Host`] is one place where the repository can be had: its
//! mirrors in order, and its origin last.

mod auth;
mod blobs;
mod download;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod hosts_toml;
mod login;
mod manifests;
mod range;
mod repository;
mod retry;
mod search;
mod settings;
mod tls;
mod transport;
mod uploads;

pub use auth::Credentials;
pub use blobs::Blob;
pub use download::Download;
pub use login::LoggedIn;
pub use manifests::{Document, MANIFEST_TYPES, Resolved};
pub use repository::{Access, Registry, Repository};
pub use search::Found;
pub use settings::{Mirror, Proxies, Settings};
pub use uploads::{Source, Start};
