//! A server in this process, and what tests send to it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use wharf_registry::server::{AccessLogTo, Config, Server};
use wharf_testkit::served::{Reply, digest, request};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub struct Served {
    pub address: String,
    pub folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Served {
    pub fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Config, &std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("root"), "127.0.0.1:0".parse().unwrap());
        config.access_log = AccessLogTo::Nowhere;
        change(&mut config, folder.path());
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::open(&config)).unwrap();
        let address = server.addresses()[0].to_string();
        let (stop, stopped) = oneshot::channel();
        runtime.spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { address, folder, stop: Some(stop), runtime: Some(runtime) }
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        request(&self.address, method, path, headers, body).unwrap()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn expect(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16) -> Reply {
        let reply = self.send(method, path, headers, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        reply
    }

    /// Fails unless the refusal has this status and code.
    #[track_caller]
    pub fn refused(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, code: &str) {
        let reply = self.expect(method, path, headers, body, status);
        assert_eq!(reply.json()["errors"][0]["code"], code, "{method} {path}: {}", reply.text());
    }

    #[track_caller]
    pub fn push_blob(&self, name: &str, content: &[u8]) -> String {
        let digest = digest(content);
        self.expect("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], content, 201);
        digest
    }

    #[track_caller]
    pub fn push_manifest(&self, name: &str, reference: &str, document: &Value) -> String {
        let text = document.to_string();
        let media_type = document["mediaType"].as_str().unwrap();
        let path = format!("/v2/{name}/manifests/{reference}");
        self.expect("PUT", &path, &[("Content-Type", media_type)], text.as_bytes(), 201);
        digest(text.as_bytes())
    }

    /// An image of these layers, whose blobs are pushed as well.
    #[track_caller]
    pub fn push_image(&self, name: &str, reference: &str, layers: &[&str]) -> String {
        let config = self.push_blob(name, format!("{{\"of\":{layers:?}}}").as_bytes());
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", &self.push_blob(name, layer.as_bytes())))
            .collect();
        let config = descriptor("application/vnd.oci.image.config.v1+json", &config);
        let document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.push_manifest(name, reference, &document)
    }

    #[track_caller]
    pub fn push_index(&self, name: &str, reference: &str, parts: &[&str]) -> String {
        let parts: Vec<Value> = parts.iter().map(|part| descriptor(MANIFEST, part)).collect();
        self.push_manifest(name, reference, &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": parts }))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

pub fn descriptor(media_type: &str, digest: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": 1 })
}

/// Waits for something that the server does in its own time.
#[track_caller]
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    wharf_testkit::wait::until(what, || probe().then_some(()));
}
