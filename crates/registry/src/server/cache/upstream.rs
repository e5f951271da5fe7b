//! Other registries, as a cache sees them.

use bytes::Bytes;
use tokio::sync::mpsc;
use wharf_types::{DEFAULT_DOMAIN, Digest, Result};

use crate::client::{Access, Blob, Credentials, Document, Registry, Repository};
use crate::server::names::Name;

/// A registry that content comes from.
#[async_trait::async_trait]
pub trait Upstream: Send + Sync + 'static {
    /// Its name for people.
    fn host(&self) -> &str;

    /// What a tag stands for, where the registry says so without sending it.
    async fn resolve(&self, path: &str, tag: &str) -> Result<Option<Digest>>;

    /// A manifest by tag or digest, verified.
    async fn manifest(&self, path: &str, reference: &str) -> Result<Document>;

    /// The size of a blob, if the repository has it.
    async fn size(&self, path: &str, digest: &Digest) -> Result<Option<u64>>;

    /// Sends the bytes of a blob of this size, unverified.
    async fn download(&self, path: &str, digest: &Digest, size: u64, pieces: &mpsc::Sender<Bytes>) -> Result<()>;

    /// All tags.
    async fn tags(&self, path: &str) -> Result<Vec<String>>;

    /// The index of what refers to a manifest.
    async fn referrers(&self, path: &str, digest: &Digest) -> Result<Bytes>;
}

/// A part of the names here, and whose content it has.
pub struct Origin {
    /// The first parts of the names; empty for all.
    pub prefix: String,
    /// Whether names of one part are in `library/`, as those of Docker Hub are.
    pub library: bool,
    /// The registry.
    pub upstream: std::sync::Arc<dyn Upstream>,
}

impl Origin {
    /// Whether the repository is one of it.
    pub fn has(&self, name: &Name) -> bool {
        self.prefix.is_empty() || self.rest(name).is_some()
    }

    fn rest<'a>(&self, name: &'a Name) -> Option<&'a str> {
        name.as_str().strip_prefix(&self.prefix)?.strip_prefix('/')
    }

    /// The repository's name upstream.
    pub fn path(&self, name: &Name) -> String {
        let rest = if self.prefix.is_empty() { name.as_str() } else { self.rest(name).unwrap_or(name.as_str()) };
        if self.library && !rest.contains('/') { format!("library/{rest}") } else { rest.to_owned() }
    }
}

/// A registry over HTTP.
pub struct Remote {
    registry: Registry,
    domain: String,
    credentials: Credentials,
}

impl Remote {
    /// The registry of that name.
    pub fn new(registry: Registry, domain: &str, credentials: Credentials) -> Self {
        Self { registry, domain: domain.to_owned(), credentials }
    }

    /// Whether it is Docker Hub.
    pub fn has_library(&self) -> bool {
        self.domain == DEFAULT_DOMAIN
    }

    fn repository(&self, path: &str) -> Result<Repository> {
        self.registry.repository(&self.domain, path, &self.credentials, Access::Pull)
    }
}

#[async_trait::async_trait]
impl Upstream for Remote {
    fn host(&self) -> &str {
        &self.domain
    }

    async fn resolve(&self, path: &str, tag: &str) -> Result<Option<Digest>> {
        Ok(self.repository(path)?.resolve(tag).await?.map(|resolved| resolved.digest))
    }

    async fn manifest(&self, path: &str, reference: &str) -> Result<Document> {
        self.repository(path)?.manifest(reference).await
    }

    async fn size(&self, path: &str, digest: &Digest) -> Result<Option<u64>> {
        self.repository(path)?.blob_size(digest).await
    }

    async fn download(&self, path: &str, digest: &Digest, size: u64, pieces: &mpsc::Sender<Bytes>) -> Result<()> {
        let blob = Blob { digest: *digest, size, urls: Vec::new() };
        self.repository(path)?.download(&blob, 0, pieces).await
    }

    async fn tags(&self, path: &str) -> Result<Vec<String>> {
        self.repository(path)?.tags().await
    }

    async fn referrers(&self, path: &str, digest: &Digest) -> Result<Bytes> {
        self.repository(path)?.referrers(digest).await
    }
}
