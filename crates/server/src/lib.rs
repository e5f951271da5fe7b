//! HTTP over the engine: listeners, routing, version gating, hijacked streams.
//!
//! [`serve()`] is the door. A request passes through `serve` (accept, panics, headers), `request` (path, version, query,
//! body) and `route` (which function answers it); the modules named after the API's objects hold those functions. The
//! engine always speaks the newest version of the API; `downgrade` makes of its documents what older clients expect.
//!
//! Streams of processes are not copied here: after the upgrade the client's own socket goes to the container's monitor
//! (`hijack`), so that they outlive the engine.

mod archive;
mod build;
mod containers;
mod downgrade;
mod events;
mod execs;
mod guards;
mod hijack;
mod images;
mod listener;
mod logs;
mod metrics;
mod networks;
mod registries;
mod request;
mod response;
mod route;
mod serve;
mod stats;
mod stream;
mod streams;
mod system;
mod times;
mod tls;
mod transfer;
mod upgrade;
mod upkeep;
mod volumes;
mod websocket;

use std::sync::Arc;

use tokio::task::JoinSet;
use wharf_buildkit::BuildKit;
use wharf_engine::Engine;

pub use listener::{Access, Host, Listener};
pub use metrics::{listen as listen_for_metrics, serve as serve_metrics};
pub use tls::Tls;

/// What the functions that answer requests work with.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) buildkit: BuildKit,
    pub(crate) guards: guards::Guards,
}

/// Answers requests on all listeners until `shutdown` is ready.
///
/// Sockets are closed and their files removed when this returns. Requests that are being answered then end with the
/// runtime; what they asked for goes on in the engine as far as it must.
pub async fn serve(engine: Engine, listeners: Vec<Listener>, shutdown: impl Future<Output = ()>) {
    serve_guarded(engine, listeners, Vec::new(), shutdown).await;
}

/// As [`serve()`]; the authorisation plugins of these names are asked about every request, in this order.
pub async fn serve_guarded(
    engine: Engine,
    listeners: Vec<Listener>,
    guards: Vec<String>,
    shutdown: impl Future<Output = ()>,
) {
    let guards = guards::Guards { names: guards, folder: engine.config().run.join("plugins") };
    let server = Arc::new(Server { buildkit: BuildKit::new(engine.clone()), engine, guards });
    let mut loops = JoinSet::new();
    for listener in listeners {
        tracing::info!(%listener, "the API is served");
        loops.spawn(serve::accept_loop(listener, Arc::clone(&server)));
    }
    shutdown.await;
    loops.shutdown().await;
}
