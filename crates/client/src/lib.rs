//! The Rust SDK for the Docker Engine API: wharf's engine or any other that speaks it.
//!
//! ```no_run
//! # async fn example() -> wharf_types::Result<()> {
//! use wharf_client::{Client, Endpoint};
//!
//! let client = Client::new("unix:///run/wharf.sock".parse::<Endpoint>()?);
//! for container in client.container_list(&Default::default()).await? {
//!     println!("{} {}", container.id, container.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Requests go out at this crate's newest API version without asking first; an engine that finds it too new says
//! which one it serves, and the request is sent again at that version. Connections are kept and used again, so that
//! requests in a row pay for one.
//!
//! Every failure is a [`wharf_types::Error`]: its kind follows the HTTP status, its hint comes from the engine.

mod ask;
mod body;
mod builds;
mod client;
mod connection;
mod containers;
mod demultiplexer;
mod endpoint;
mod execs;
mod hijack;
mod images;
mod networks;
mod query;
mod registries;
mod ssh;
mod stream;
mod system;
mod tls;
mod upkeep;
mod volumes;
mod wire;

pub use ask::Verb;
pub use body::Upload;
pub use builds::BuildPruneReport;
pub use client::Client;
pub use containers::{
    ArchivePut, AttachOptions, ContainerListOptions, ContainerRemoveOptions, LogOptions, StopOptions, WaitCondition,
    Waiting,
};
pub use demultiplexer::{Chunk, Demultiplexer, Source};
pub use endpoint::Endpoint;
pub use hijack::{Hijacked, Input, Output};
pub use images::{CommitOptions, ImageListOptions, ImagePullOptions, ImportOptions};
pub use registries::{DistributionInspect, ImagePushOptions, RemoteManifest};
pub use ssh::Ssh;
pub use stream::{ByteStream, JsonLines, OutputStream};
pub use system::EventOptions;
pub use tls::{Tls, TlsMaterial};
pub use upkeep::{ItemOrProgress, Items};
pub use wire::Stream;
