//! What the bootstrap needs of an engine. Any that speaks Docker's API will do.

use bytes::Bytes;
use futures_util::Stream;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use wharf_types::Result;

/// A stream of bytes, such as a tar archive.
pub type ByteStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// An image that an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingImage {
    /// Its id.
    pub id: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

/// How to import a root file system.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Repository and tag; without them the image has an id only.
    pub name: Option<(String, String)>,
    /// Dockerfile instructions that set the image's configuration.
    pub changes: Vec<String>,
    /// The comment in the image's history.
    pub message: String,
}

/// The container that configures the packages: no network, default rights, removed afterwards.
#[derive(Debug, Clone)]
pub struct ContainerRequest {
    /// Its name, by which it is removed even when nobody learned its id.
    pub name: String,
    /// The image's id.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Labels.
    pub labels: HashMap<String, String>,
}

/// An engine.
pub trait Target: Send + Sync {
    /// The image of this name, if there is one.
    fn image(&self, name: &str) -> impl Future<Output = Result<Option<ExistingImage>>> + Send;

    /// Makes an image of a root file system and gives its id (`POST /images/create?fromSrc=-`).
    fn import(&self, request: ImportRequest, archive: ByteStream) -> impl Future<Output = Result<String>> + Send;

    /// Makes a container, which is then known by the name in the request.
    fn create(&self, request: ContainerRequest) -> impl Future<Output = Result<()>> + Send;

    /// Starts a container.
    fn start(&self, container: &str) -> impl Future<Output = Result<()>> + Send;

    /// Waits until a container ends and gives its exit code.
    fn wait(&self, container: &str) -> impl Future<Output = Result<i64>> + Send;

    /// What a container has written so far, the last `lines` lines.
    fn logs(&self, container: &str, lines: usize) -> impl Future<Output = Result<String>> + Send;

    /// A container's root file system.
    fn export(&self, container: &str) -> impl Future<Output = Result<ByteStream>> + Send;

    /// Removes a container, killing it if it runs.
    fn remove_container(&self, container: &str) -> impl Future<Output = Result<()>> + Send;

    /// Removes an image.
    fn remove_image(&self, image: &str) -> impl Future<Output = Result<()>> + Send;
}
