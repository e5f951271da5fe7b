//! Builds: what wharf's own client and engine say to each other, beside Docker's `POST /build`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::system::AuthConfig;

/// One file of a context, as the client has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEntry {
    /// Relative to the context, with slashes.
    #[serde(rename = "p")]
    pub path: String,
    /// Kind and permissions (inode(7)).
    #[serde(rename = "m")]
    pub mode: u32,
    /// Bytes; 0 for what is no regular file.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Nanoseconds since 1970; 0 for a folder.
    #[serde(rename = "t", default, skip_serializing_if = "is_zero_time")]
    pub mtime: i64,
    /// Where a symbolic link points.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands out references
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands out references
fn is_zero_time(number: &i64) -> bool {
    *number == 0
}

/// `POST /build/contexts/KEY`: all files of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextList {
    /// The files, folders before what is in them.
    pub entries: Vec<ContextEntry>,
}

/// The answer to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextMissing {
    /// Under which name to send what is missing, with `PUT /build/contexts/ID`, and to build with it.
    pub id: String,
    /// The numbers of the entries that have to be sent.
    pub missing: Vec<usize>,
}

/// `POST /build/solve`: a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildSpec {
    /// What messages call the Dockerfile.
    pub dockerfile_name: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// Contexts that were sent, by name; the main one's is empty.
    pub contexts: BTreeMap<String, String>,
    /// Named contexts that are images.
    pub images: BTreeMap<String, String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--tag`.
    pub tags: Vec<String>,
    /// `--platform`.
    pub platform: Option<String>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`.
    pub no_cache_filter: Vec<String>,
    /// `--pull`.
    pub pull: bool,
    /// `--network`: `default`, `none` or `host`.
    pub network: String,
    /// `--add-host`: `name:address`.
    pub extra_hosts: Vec<String>,
    /// `--secret`: id and content in base64.
    pub secrets: BTreeMap<String, String>,
    /// `--ssh`: id and the agent's socket on the engine's host.
    pub agents: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub epoch: Option<i64>,
    /// Where the main context is, if it is not the client that sends it: an archive, a Dockerfile or a repository. Without
    /// a text above, the Dockerfile is there, too.
    pub remote: Option<String>,
    /// Credentials for registries, by their domains.
    pub logins: BTreeMap<String, AuthConfig>,
}

/// One line of the answer to a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildMessage {
    /// The steps' names, by number; empty for those that are not needed.
    Planned(Vec<String>),
    /// A step has begun.
    Started(usize),
    /// A step wrote something: number, whether to standard error, text in base64.
    Output(usize, bool, String),
    /// A step was run.
    Done(usize),
    /// A step was found in the cache.
    Cached(usize),
    /// A step failed.
    Failed(usize, String),
    /// Something beside the steps has begun or ended.
    Task(String, bool),
    /// The build failed.
    Error {
        /// Why.
        message: String,
        /// What the person can do.
        hint: Option<String>,
        /// The lines of the Dockerfile.
        excerpt: Option<String>,
        /// The exit code of the command that failed.
        code: Option<i32>,
    },
    /// The image's id.
    Image(String),
}
