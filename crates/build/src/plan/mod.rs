//! From stages to a graph: which steps there are, what each needs, and what the image's configuration becomes.
//!
//! Pure: images are given in, already looked up. Where one is missing, [`lower()`] says so and is called again with it;
//! base images bring variables and `ONBUILD` triggers along, so nothing can be planned without them.

mod config;
mod lower;
mod scope;

use std::collections::BTreeMap;
use std::sync::Arc;

use wharf_image::{Image, ImageDocument};
use wharf_types::Platform;

use crate::dockerfile::{Failure, Mount, Network, Security, Span};

pub use lower::lower;

/// What a build is told beside its Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--platform`; the host's where it is `None`.
    pub platform: Option<Platform>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: stages whose steps are always run.
    pub no_cache_filter: Vec<String>,
    /// `--build-context`: what a name means instead.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--network`.
    pub network: Network,
    /// `--add-host`: names and addresses.
    pub extra_hosts: Vec<(String, String)>,
    /// `SOURCE_DATE_EPOCH`, seconds.
    pub epoch: Option<i64>,
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// An image (`docker-image://`).
    Image(String),
    /// Files, under this name at the context source.
    Files,
}

/// An image that a plan needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageRequest {
    /// Its name.
    pub name: String,
    /// For which platform, `os/arch[/variant]`.
    pub platform: String,
}

/// Images by what was asked for.
pub type Images = BTreeMap<ImageRequest, Arc<Image>>;

/// What came of planning.
#[derive(Debug)]
pub enum Lowered {
    /// Everything is known.
    Plan(Box<Plan>),
    /// These have to be found first.
    Needs(Vec<(ImageRequest, Span)>),
}

/// A step's place in [`Plan::nodes`].
pub type NodeId = usize;

/// The steps of a build. Every node comes after those that it needs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The steps.
    pub nodes: Vec<Node>,
    /// The last step of the target.
    pub result: NodeId,
    /// The configuration of the result, without layers and without times.
    pub document: ImageDocument,
    /// For each entry of the document's history the step that made its layer, if one did.
    pub history: Vec<Option<NodeId>>,
    /// The instructions of all stages that are needed, in order, for those who count them.
    pub lines: Vec<PlanLine>,
    /// The base image of the target, if it is one.
    pub base: Option<Arc<Image>>,
}

/// One instruction, as the classic builder counts them.
#[derive(Debug, Clone)]
pub struct PlanLine {
    /// The instruction's text.
    pub text: String,
    /// The step that it became, if any.
    pub node: Option<NodeId>,
    /// Whether the instruction itself made the step.
    pub own: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// What people see, `[stage 2/5] RUN make`.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Run it whatever the cache says.
    pub no_cache: bool,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Op {
    /// Nothing to begin with.
    Scratch,
    /// The layers of an image.
    Image(Arc<Image>),
    /// A command.
    Run(Box<RunOp>),
    /// Files put into place.
    Copy(Box<CopyOp>),
    /// A working folder made.
    Workdir {
        /// On top of what.
        input: NodeId,
        /// The folder, absolute.
        path: String,
        /// Who owns it, `user[:group]`; empty for root.
        user: String,
    },
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesFrom {
    /// What a step left.
    Node(NodeId),
    /// A context by its name; the main one's is empty.
    Context(String),
}

/// A command to run.
#[derive(Debug, Clone)]
pub struct RunOp {
    /// On top of what.
    pub input: NodeId,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working folder.
    pub cwd: String,
    /// Who runs it.
    pub user: String,
    /// What is mounted, and from where the files of binds and caches come.
    pub mounts: Vec<(Mount, Option<FilesFrom>)>,
    /// A script that is put at a path inside while the command runs.
    pub script: Option<(String, String)>,
    /// What it sees of the network.
    pub network: Network,
    /// How confined it is.
    pub security: Security,
    /// `--add-host`.
    pub extra_hosts: Vec<(String, String)>,
    /// Variables that must not count for the cache.
    pub uncounted_env: Vec<String>,
}

/// Files to put into place.
#[derive(Debug, Clone)]
pub struct CopyOp {
    /// On top of what.
    pub input: NodeId,
    /// From where.
    pub from: FilesFrom,
    /// What.
    pub sources: Vec<CopySource>,
    /// To where: absolute, with a final slash if one was written.
    pub destination: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub excludes: Vec<String>,
    /// `--link`.
    pub link: bool,
    /// Unpack local archives.
    pub unpack: bool,
    /// Unpack downloads.
    pub unpack_remote: bool,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--checksum`.
    pub checksum: Option<String>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum CopySource {
    /// A path or pattern below the root of `from`.
    Path(String),
    /// A file's name and content.
    Inline(String, String),
    /// A URL.
    Url(String),
    /// A repository.
    Git(String),
}

/// Shorthand within this module.
type Planned<T> = Result<T, Failure>;
