//! Names that clients send: repositories, tags and digests.

use std::fmt;
use std::str::FromStr;

use wharf_types::{Digest, is_repository, is_tag};

use super::problem::{Answered, Problem};

/// A valid repository name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A short name without slashes for where a file's name must hold more than this.
    pub fn key(&self) -> String {
        Digest::of(self.0.as_bytes()).hex()[..32].to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Problem;

    fn from_str(text: &str) -> Answered<Self> {
        if is_repository(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::name_invalid("this is no name of a repository").about(serde_json::json!({ "name": text })))
    }
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refer {
    /// By tag.
    Tag(String),
    /// By digest.
    Digest(Digest),
}

impl FromStr for Refer {
    type Err = Problem;

    fn from_str(text: &str) -> Answered<Self> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        if is_tag(text) {
            return Ok(Self::Tag(text.to_owned()));
        }
        Err(Problem::manifest_invalid("this is neither a tag nor a digest")
            .about(serde_json::json!({ "reference": text })))
    }
}

impl fmt::Display for Refer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Reads a digest.
pub fn digest(text: &str) -> Answered<Digest> {
    text.parse().map_err(|error: wharf_types::DigestError| {
        Problem::digest_invalid(error.to_string()).about(serde_json::json!({ "digest": text }))
    })
}
