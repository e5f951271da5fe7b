//! Image archives made by hand, and a store to try them on.

#![allow(dead_code)] // every test file uses another part

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use wharf_image::ImageStore;
use wharf_types::{Digest, Platform, Reference};

/// A store in a folder of its own.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub store: ImageStore,
}

impl Fixture {
    pub fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// In memory where possible, for tests that load thousands of times.
    pub fn quick() -> Self {
        Self::within(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn within(folder: tempfile::TempDir) -> Self {
        let store = ImageStore::open(folder.path()).unwrap();
        Self { folder, store }
    }

    /// The same folder after a restart.
    pub fn reopen(self) -> Self {
        let Self { folder, store } = self;
        drop(store);
        Self::within(folder)
    }

    /// Files that are neither complete nor anybody's.
    pub fn leftovers(&self) -> usize {
        ["content/ingest", "layers/ingest"].iter().map(|path| count(&self.folder.path().join(path))).sum()
    }

    /// Blobs and layers.
    pub fn contents(&self) -> (usize, usize) {
        (self.store.content().list().unwrap().len(), self.store.layers().list().unwrap().len())
    }

    pub fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.store.list().iter().flat_map(|image| image.repo_tags()).collect();
        tags.sort();
        tags
    }

    /// Imports a layer with one file.
    pub fn import(&self, file: &str, name: Option<&str>) -> Digest {
        let options = wharf_image::ImportOptions {
            reference: name.map(reference),
            changes: vec!["CMD [\"sh\"]".into()],
            message: "Imported from -".into(),
            platform: None,
        };
        self.store.import(&layer(&[(file, file.as_bytes())])[..], &options).unwrap()
    }
}

fn count(path: &Path) -> usize {
    std::fs::read_dir(path).unwrap().count()
}

pub fn reference(name: &str) -> Reference {
    name.parse().unwrap()
}

/// A tar with these files, made by another program's code than our own.
pub fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *data).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// The configuration of an image of these plain layers.
pub fn config(layers: &[Vec<u8>], platform: &Platform) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let history: Vec<Value> = layers.iter().map(|_| json!({"created_by": "made by hand"})).collect();
    serde_json::to_vec(&json!({
        "created": "2024-05-06T07:08:09.123Z",
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {"Cmd": ["/bin/sh"], "Env": null, "Volumes": null, "Labels": {"a": "b"}, "OnBuild": null},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
        "container_config": {"Hostname": "x"},
    }))
    .unwrap()
}

/// A docker-archive as Docker wrote it before 25: a folder for each layer, and `manifest.json`.
pub fn docker_archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers, &Platform::host());
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let names: Vec<String> = (0..layers.len()).map(|i| format!("{}/layer.tar", Digest::of(&[i as u8]).hex())).collect();
    let manifest = json!([{"Config": config_name, "RepoTags": [name], "Layers": names}]);
    let mut files: Vec<(String, Vec<u8>)> = vec![("manifest.json".into(), serde_json::to_vec(&manifest).unwrap())];
    for (name, bytes) in names.iter().zip(layers) {
        files.push((name.replace("layer.tar", "VERSION"), b"1.0".to_vec()));
        files.push((name.clone(), bytes.clone()));
    }
    files.push((config_name, config));
    files.push(("repositories".into(), b"{}".to_vec()));
    tar_of(&files)
}

pub fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, data)| (name.as_str(), data.as_slice())).collect();
    layer(&files)
}

/// An OCI layout that is being put together.
#[derive(Default)]
pub struct Layout {
    pub files: Vec<(String, Vec<u8>)>,
    pub lines: Vec<Value>,
}

impl Layout {
    /// Adds a blob and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()});
        self.files.push((format!("blobs/sha256/{}", digest.hex()), bytes));
        descriptor
    }

    /// Adds an image of plain layers, stored as `compress` makes them, and returns the manifest's descriptor.
    pub fn image(&mut self, layers: &[Vec<u8>], platform: &Platform, compress: fn(&[u8]) -> Vec<u8>) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config(layers, platform));
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(kind, compress(layer))).collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        let mut descriptor = self.blob(kind, serde_json::to_vec(&manifest).unwrap());
        descriptor["platform"] = json!({"os": platform.os, "architecture": platform.architecture});
        descriptor
    }

    pub fn index(&mut self, manifests: &[Value]) -> Value {
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        self.blob(kind, serde_json::to_vec(&index).unwrap())
    }

    /// Adds an artifact about something else and returns its descriptor.
    pub fn artifact(&mut self, config: &Value, subject: &Value) -> Value {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "artifactType": "application/x-test", "config": config,
            "layers": [config], "subject": subject,
        });
        self.blob(kind, serde_json::to_vec(&manifest).unwrap())
    }

    /// Adds a line to `index.json`.
    pub fn line(&mut self, mut descriptor: Value, annotations: Value) {
        descriptor["annotations"] = annotations;
        self.lines.push(descriptor);
    }

    pub fn tar(mut self) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": self.lines});
        self.files.push(("index.json".into(), serde_json::to_vec(&index).unwrap()));
        self.files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        tar_of(&self.files)
    }
}
