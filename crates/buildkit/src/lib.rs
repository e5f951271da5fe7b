//! BuildKit's protocol over the engine.
//!
//! Two connections, both HTTP/2 on what an HTTP upgrade left. On `/grpc` the client calls and the engine answers
//! ([`control`]): solve this, tell me how it goes. On `/session` it is the other way round ([`session`]): the engine calls,
//! and the client lends files, credentials, secrets, and takes results. `dockerfile.v0` is the one frontend; it runs in the
//! engine. Builds in BuildKit's own low-level form are refused.

mod control;
mod export;
mod filesend;
mod filesync;
mod gateway;
mod history;
mod job;
mod legacy;
mod options;
mod proto;
mod remote;
mod session;
mod ssh;
mod tell;
mod workers;

mod grpc;

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use wharf_engine::Engine;

pub use legacy::LegacyBuild;
pub use session::Introduction;

/// BuildKit's side of an engine; clones share it.
#[derive(Clone)]
pub struct BuildKit(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) sessions: session::Sessions,
    pub(crate) jobs: job::Jobs,
    pub(crate) history: history::History,
}

impl BuildKit {
    /// Over an engine.
    pub fn new(engine: Engine) -> Self {
        Self(Arc::new(Inner {
            engine,
            sessions: session::Sessions::default(),
            jobs: job::Jobs::default(),
            history: history::History::default(),
        }))
    }

    /// Answers a client's calls on a connection until it ends.
    pub async fn serve_calls(&self, connection: Upgraded) {
        grpc::serve(connection, Arc::clone(&self.0)).await;
    }

    /// Keeps a client's session for builds that name it, until the connection ends.
    pub async fn keep_session(&self, connection: Upgraded, introduction: Introduction) {
        self.0.sessions.keep(connection, introduction).await;
    }
}
