//! What a container is, wherever it runs.

use serde::{Deserialize, Serialize};

use crate::nullable::one_or_many;
use crate::port::PortSet;
use crate::{Empty, List, Map};

/// The part of a container's configuration that does not depend on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// Host name; the first twelve digits of the id when empty.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// `user[:group]`, by name or number.
    pub user: String,
    /// `docker run` attached to standard input.
    pub attach_stdin: bool,
    /// `docker run` attached to standard output.
    pub attach_stdout: bool,
    /// `docker run` attached to standard error.
    pub attach_stderr: bool,
    /// Ports that the program listens on.
    #[serde(skip_serializing_if = "PortSet::is_null")]
    pub exposed_ports: PortSet,
    /// Give the program a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub open_stdin: bool,
    /// Close standard input after the first client has left.
    pub stdin_once: bool,
    /// Environment as `NAME=value`; `NAME` alone removes one of the image's.
    pub env: List<String>,
    /// The command, or the arguments of the entrypoint.
    #[serde(deserialize_with = "one_or_many")]
    pub cmd: List<String>,
    /// How to find out whether the container is healthy; the image's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// The command is escaped already (Windows).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// The image's name or id, as it was asked for.
    pub image: String,
    /// Places in the container that get an anonymous volume.
    pub volumes: Map<String, Empty>,
    /// Working directory; `/` when empty.
    pub working_dir: String,
    /// What is run before the command.
    #[serde(deserialize_with = "one_or_many")]
    pub entrypoint: List<String>,
    /// No network at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub network_disabled: bool,
    /// Address of the first interface; moved to the endpoint's settings with API 1.44.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Triggers for builds on top of the image.
    pub on_build: List<String>,
    /// Labels.
    pub labels: Map<String, String>,
    /// The signal that stops the program, by name or number; SIGTERM when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds from that signal to SIGKILL; 10 when absent, -1 waits for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of the Dockerfile's shell form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// A health check. Durations are nanoseconds; 0 inherits from the image, then from Docker's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthConfig {
    /// `[]` inherits, `["NONE"]` disables, `["CMD", ...]` runs a program, `["CMD-SHELL", line]` a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// From the end of one check to the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// After which a check counts as hung.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time for the container to get going, in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// From one check to the next during the start period (API 1.44).
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make the container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}
