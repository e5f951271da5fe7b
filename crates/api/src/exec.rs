//! Further processes in a running container.

use serde::{Deserialize, Serialize};

use crate::List;
use crate::nullable::one_or_many;

/// `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecConfig {
    /// `user[:group]`; the container's when empty.
    pub user: String,
    /// All capabilities.
    pub privileged: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Initial height and width of the terminal in characters (API 1.42).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
    /// Connect standard input.
    pub attach_stdin: bool,
    /// Connect standard error.
    pub attach_stderr: bool,
    /// Connect standard output.
    pub attach_stdout: bool,
    /// Key sequence by which the client leaves.
    pub detach_keys: String,
    /// Further environment as `NAME=value`.
    pub env: List<String>,
    /// Working directory; the container's when empty.
    pub working_dir: String,
    /// Program and arguments.
    #[serde(deserialize_with = "one_or_many")]
    pub cmd: List<String>,
}

/// The answer to the creation of an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecCreated {
    /// The exec's id.
    pub id: String,
}

/// `POST /exec/{id}/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecStart {
    /// Start it and answer at once.
    pub detach: bool,
    /// Whether it has a terminal; must agree with [`ExecConfig::tty`].
    pub tty: bool,
    /// Initial height and width of the terminal in characters (API 1.42).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
}

/// `GET /exec/{id}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ExecInspect {
    /// The exec's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Whether it runs.
    pub running: bool,
    /// `null` while it runs and before.
    pub exit_code: Option<i64>,
    /// What it runs.
    pub process_config: ProcessConfig,
    /// Whether standard input is connected.
    pub open_stdin: bool,
    /// Whether standard error is connected.
    pub open_stderr: bool,
    /// Whether standard output is connected.
    pub open_stdout: bool,
    /// Whether the daemon may forget it.
    pub can_remove: bool,
    /// The container.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// Key sequence by which the client leaves; base64 of its bytes on the wire as Docker has it, `null` when unset.
    pub detach_keys: Option<String>,
    /// On the host; 0 when it does not run.
    pub pid: i64,
}

/// The process of an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessConfig {
    /// Whether it has a terminal.
    pub tty: bool,
    /// The program.
    pub entrypoint: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// All capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}
