//! Further processes in running containers.

use http::Method;
use wharf_api::exec::{ExecConfig, ExecCreated, ExecInspect, ExecStart};
use wharf_types::Result;

use crate::client::Client;
use crate::hijack::Hijacked;
use crate::query::Target;

fn exec(id: &str, rest: &str) -> Target {
    Target::named("exec", id, rest)
}

/// Requests about execs.
impl Client {
    /// Prepares a process in a running container.
    pub async fn exec_create(&self, container: &str, config: &ExecConfig) -> Result<ExecCreated> {
        self.post_json(Target::named("containers", container, "/exec"), config).await
    }

    /// Starts it and joins its streams.
    pub async fn exec_start(&self, id: &str, start: &ExecStart) -> Result<Hijacked> {
        self.hijack(exec(id, "/start"), Some(&ExecStart { detach: false, ..start.clone() })).await
    }

    /// Starts it and leaves it alone.
    pub async fn exec_start_detached(&self, id: &str, start: &ExecStart) -> Result<()> {
        self.post_json_empty(exec(id, "/start"), &ExecStart { detach: true, ..start.clone() }).await
    }

    /// How it is.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        self.json(Method::GET, exec(id, "/json")).await
    }

    /// Sets the size of its terminal, in characters.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let target = exec(id, "/resize").with("h", &height.to_string()).with("w", &width.to_string());
        self.empty(Method::POST, target).await
    }
}
