//! Events: `GET /events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    /// Legacy, until API 1.51: the action, for containers and images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Legacy, until API 1.51: the actor's id, for containers and images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Legacy, until API 1.51: the container's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `container`, `image`, `network`, `volume`, `daemon`, `builder`, ...
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `exec_create: ls`, `health_status: healthy`, ...
    #[serde(rename = "Action")]
    pub action: String,
    /// What it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` or `swarm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "is_zero")]
    pub time: i64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano", skip_serializing_if = "is_zero")]
    pub time_nano: i64,
}

/// What an event happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Actor {
    /// Its id, or its name where it has no id.
    #[serde(rename = "ID")]
    pub id: String,
    /// `name`, `image`, `exitCode`, `signal`, its labels, ...
    pub attributes: BTreeMap<String, String>,
}

impl Message {
    /// An event of this host; times are seconds and nanoseconds since 1970.
    pub fn new(kind: &str, action: &str, actor: Actor, time: i64, time_nano: i64) -> Self {
        let (kind, action, scope) = (kind.to_owned(), action.to_owned(), "local".to_owned());
        Self { kind, action, actor, scope, time, time_nano, ..Self::default() }
    }

    /// Fills in what API versions before 1.52 show for containers and images.
    pub fn add_legacy(&mut self) {
        if self.kind == "container" || self.kind == "image" {
            self.status = Some(self.action.clone());
            self.id = Some(self.actor.id.clone());
        }
        if self.kind == "container" {
            self.from = self.actor.attributes.get("image").cloned();
        }
    }
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}
