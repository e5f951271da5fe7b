//! `POST /build?version=2`: BuildKit by the classic door, as Docker's own client up to version 22 uses it.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::proto::{Exporter, SolveRequest};
use crate::{BuildKit, control};

/// A build asked for by parameters; its files are at the session that it names.
#[derive(Debug, Clone, Default)]
pub struct LegacyBuild {
    /// The session.
    pub session: String,
    /// A name for the build; chosen here where it is empty.
    pub reference: String,
    /// Attributes of `dockerfile.v0`.
    pub attrs: Vec<(String, String)>,
    /// Where the result goes: kinds with their attributes; the engine's store where there is none.
    pub outputs: Vec<(String, Vec<(String, String)>)>,
    /// Names of the image.
    pub names: Vec<String>,
}

impl BuildKit {
    /// Builds, and answers documents as they come. The build ends when the task does.
    pub fn build(&self, build: LegacyBuild) -> (mpsc::UnboundedReceiver<Value>, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let job = inner.jobs.get(&build.reference);
            let followed = sender.clone();
            let follow = async {
                let mut at = 0;
                while let Some(messages) = job.told_since(at).await {
                    at += messages.len();
                    for message in messages {
                        let aux = BASE64_STANDARD.encode(message.encode_to_vec());
                        drop(followed.send(json!({ "id": "moby.buildkit.trace", "aux": aux })));
                    }
                }
            };
            let (solved, ()) = tokio::join!(control::solve(&inner, request(build)), follow);
            // A client that went away is told nothing.
            drop(sender.send(match solved {
                Ok(response) => {
                    let id = response.exporter_response.get("containerimage.config.digest").cloned();
                    match id {
                        Some(id) => json!({ "id": "moby.image.id", "aux": { "ID": id } }),
                        None => return,
                    }
                }
                Err(status) => json!({ "errorDetail": { "message": status.message }, "error": status.message }),
            }));
        });
        (receiver, task)
    }
}

fn request(build: LegacyBuild) -> SolveRequest {
    let exporter =
        |(kind, attrs): (String, Vec<(String, String)>)| Exporter { kind, attrs: attrs.into_iter().collect() };
    let mut exporters: Vec<Exporter> = build.outputs.into_iter().map(exporter).collect();
    if exporters.is_empty() {
        exporters.push(Exporter { kind: "moby".into(), attrs: Default::default() });
    }
    for exporter in exporters.iter_mut().filter(|exporter| matches!(exporter.kind.as_str(), "moby" | "image")) {
        exporter.attrs.insert("name".into(), build.names.join(","));
    }
    SolveRequest {
        reference: build.reference,
        session: build.session,
        frontend: "dockerfile.v0".into(),
        frontend_attrs: build.attrs.into_iter().collect(),
        exporters,
        ..SolveRequest::default()
    }
}
