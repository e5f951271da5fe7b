//! The engine: containers, images, networks, volumes and events over one state database. It knows no HTTP.
//!
//! Reads are answered from memory and never wait on a change. Every container has one owner task that alone changes it
//! ([`container`]); the database ([`store`]) has one writing thread. The engine may die at any time: what must go on
//! lives in the containers' monitors, and the next engine takes over from the database and from them ([`reconcile`]).

pub mod build;
mod config;
pub mod container;
mod engine;
pub mod event;
pub mod image;
mod json;
mod names;
pub mod network;
pub mod plugin;
mod reconcile;
mod services;
mod store;
pub mod system;
mod time;
mod users;
pub mod volume;

pub use config::{
    Changeable, Config, ContainerDefaults, DEFAULT_DOWNLOADS, DEFAULT_ROOT, DEFAULT_RUN, DEFAULT_SOCKET,
    DEFAULT_UPLOADS, NetworkDefaults,
};
pub use container::DaemonDefaults;
pub use engine::Engine;
pub use event::Events;
pub use users::remap as remap_users;
pub use wharf_network::Subnet;
pub use wharf_network::ipam::AddressPool;

use wharf_types::{Error, Result};

/// Runs work that may block (files, netlink, waiting) away from the tasks that answer requests.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::system("the engine failed while it worked on this").caused_by(error)))
}

/// Runs to the end even if the caller goes away.
pub(crate) async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let joined = tokio::spawn(work).await;
    joined.unwrap_or_else(|error| Err(Error::system("the engine failed while it worked on this").caused_by(error)))
}
