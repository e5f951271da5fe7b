//! `/build`: Docker's classic builder, wharf's own, and pruning.

mod buildkit;
mod classic;
mod own;

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::Method;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wharf_engine::build::PruneOptions;
use wharf_types::Result;

pub(crate) use buildkit::{grpc, session};

use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer, ok};
use crate::route::page_not_found;

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    match (method, parts) {
        (&Method::POST, []) => classic::build(server, call).await,
        (&Method::POST, ["prune"]) => prune(server, &call).await,
        (&Method::POST, ["cancel"]) => Ok(response::no_content()),
        (&Method::POST, ["contexts", key]) => own::compare(server, key, call).await,
        (&Method::PUT, ["contexts", id]) => own::fill(server, id, call).await,
        (&Method::POST, ["solve"]) => own::solve(server, call).await,
        _ => Err(page_not_found()),
    }
}

async fn prune(server: &Server, call: &Call) -> Result<Answer> {
    let budget = |name: &str| call.query.number::<u64>(name);
    let keep = budget("keep-storage")?.or(budget("reserved-space")?).or(budget("max-used-space")?);
    let options = PruneOptions {
        all: call.query.flag("all"),
        keep: keep.filter(|bytes| *bytes > 0),
        filters: call.query.filters()?,
    };
    let pruned = server.engine.builds().prune(options).await?;
    let ids = if pruned.ids.is_empty() { None } else { Some(pruned.ids) };
    ok(&json!({ "CachesDeleted": ids, "SpaceReclaimed": pruned.bytes }))
}

/// What a build writes, as it comes. Dropping it ends the build.
struct Lines {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    task: JoinHandle<()>,
}

impl Stream for Lines {
    type Item = std::io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().receiver.poll_recv(context).map(|line| line.map(Ok))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A place of the Dockerfile below the context.
fn dockerfile_path(text: &str) -> PathBuf {
    PathBuf::from(if text.is_empty() { "Dockerfile" } else { text })
}
