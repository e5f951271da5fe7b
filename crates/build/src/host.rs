//! What a build borrows: images and an executor from the engine, files and secrets from whoever asked for the build.
//!
//! Two traits, because they have two lives. A [`Host`] is the engine. A [`Session`] is one client, whether it speaks the
//! classic API, wharf's own, or another protocol: the solver does not know which.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use wharf_image::{Image, ImageStore};
use wharf_storage::{Lease, Snapshot};
use wharf_types::{Error, Result};

use crate::dockerfile::Network;
use crate::files::Tree;
use crate::plan::ImageRequest;
use crate::progress::Event;

/// What asynchronous methods of these traits answer.
pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Takes the output of a command while it runs.
pub type Output = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// One of a command's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The engine, as far as a build needs it.
pub trait Host: Send + Sync + 'static {
    /// Images and layers; only from threads that may block.
    fn images(&self) -> &ImageStore;

    /// Fresh folders for what a step writes, gone when the guard is dropped.
    ///
    /// # Errors
    /// Those of the file system.
    fn scratch(&self) -> Result<Scratch>;

    /// Folder of the cache mounts, each in a folder of its own.
    fn cache_mounts(&self) -> PathBuf;

    /// Finds an image, in the registry if need be; `pull` asks the registry whatever is here.
    fn resolve<'a>(
        &'a self,
        request: &'a ImageRequest,
        pull: bool,
        session: &'a dyn Session,
    ) -> Future<'a, Result<(Arc<Image>, Lease)>>;

    /// Runs a command to its end and answers its exit code. A future that is dropped kills it. Afterwards nothing of it is
    /// left in the kernel.
    fn run(&self, command: Command, output: Output) -> Future<'_, Result<i32>>;

    /// Fetches what `ADD` names by a URL into a folder.
    fn download<'a>(&'a self, url: &'a str, into: PathBuf) -> Future<'a, Result<Download>> {
        let _ = into;
        Box::pin(async move {
            Err(Error::not_implemented(format!("cannot fetch {url}: this engine has no HTTP client yet"))
                .with_hint("fetch it in a RUN step"))
        })
    }

    /// Fetches what `ADD` names as a repository into a folder; answers its commit, and the part of the folder that is meant.
    fn clone_repository<'a>(&'a self, url: &'a str, keep_git_dir: bool, into: PathBuf) -> Future<'a, Result<Cloned>> {
        let _ = (into, keep_git_dir);
        Box::pin(async move { Err(Error::not_implemented(format!("cannot fetch the repository {url}"))) })
    }
}

/// What a download was.
#[derive(Debug, Clone)]
pub struct Download {
    /// The file.
    pub path: PathBuf,
    /// Its name, from the URL or the answer.
    pub name: String,
}

/// What a repository was.
#[derive(Debug, Clone)]
pub struct Cloned {
    /// The commit, in hexadecimal.
    pub commit: String,
    /// The part of it that is meant, relative; empty for all of it.
    pub folder: String,
}

/// One client's side of a build.
pub trait Session: Send + Sync {
    /// The files of a context; the main one's name is empty.
    fn files<'a>(&'a self, name: &'a str) -> Future<'a, Result<Files>>;

    /// A secret; `None` where the client has none of this id.
    fn secret<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<Vec<u8>>>>;

    /// The socket of an SSH agent on this host; `None` where the client forwards none of this id.
    fn ssh_agent<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<PathBuf>>>;

    /// Who asks a registry for an image; nobody in particular where it is `None`.
    fn registry_login<'a>(&'a self, domain: &'a str) -> Future<'a, Result<Option<RegistryLogin>>> {
        let _ = domain;
        Box::pin(async { Ok(None) })
    }

    /// Hears what happens.
    fn progress(&self, event: Event);
}

/// Who asks a registry.
#[derive(Debug, Clone, Default)]
pub struct RegistryLogin {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// A token instead of both.
    pub identity_token: String,
}

/// The files of a context.
#[derive(Clone)]
pub struct Files {
    /// To copy from.
    pub tree: Tree,
    /// The folder on this host, for bind mounts.
    pub path: PathBuf,
}

/// Folders for what one step writes.
pub struct Scratch {
    /// `upper` and `work` of an overlay.
    pub snapshot: Snapshot,
    /// Who deletes them.
    pub guard: Box<dyn Send + Sync>,
}

/// A command and everything around it.
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working folder.
    pub cwd: String,
    /// `user[:group]`; empty for root.
    pub user: String,
    /// Layer folders, topmost first.
    pub layers: Vec<PathBuf>,
    /// What it writes.
    pub snapshot: Snapshot,
    /// Mounts, in order.
    pub mounts: Vec<StepMount>,
    /// What it sees of the network.
    pub network: Network,
    /// Without confinement.
    pub privileged: bool,
    /// Names and addresses for its `hosts` file.
    pub extra_hosts: Vec<(String, String)>,
}

/// One mount of a command.
pub struct StepMount {
    /// Where.
    pub destination: String,
    /// What.
    pub source: StepSource,
    /// No writes.
    pub readonly: bool,
}

/// What is mounted.
pub enum StepSource {
    /// A file or folder of this host.
    Bind(PathBuf),
    /// Folders on top of each other, topmost first; with writes going to a snapshot if there is one.
    Stack(Vec<PathBuf>, Option<Snapshot>),
    /// A tmpfs of at most so many bytes.
    Tmpfs(Option<u64>),
    /// A file that is never on disk: content, mode, user, group.
    Secret(Vec<u8>, u32, u32, u32),
}
