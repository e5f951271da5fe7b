//! Image references: `[registry/]repository[:tag][@digest]`, with Docker's rules for what may be left out.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError};

/// The registry that a reference without one means.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag that a reference without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";

/// The repository of the official images on the default registry.
const OFFICIAL: &str = "library/";
/// The longest repository name, registry included (distribution-spec).
const MAX_NAME: usize = 255;

/// A normalised image reference: registry and repository always, a tag or a digest or both or neither.
///
/// Displays in full (`docker.io/library/debian:bookworm`); [`Reference::familiar`] is the short form that
/// people type and tables show.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is not a [`Reference`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// The string does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// The repository name contains upper-case letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
    /// The repository name is longer than 255 bytes.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// 64 hexadecimal digits could be an image id, so they cannot be a name.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// The part after `@` is no digest.
    #[error("invalid reference format: {0}")]
    Digest(#[from] DigestError),
}

impl Reference {
    /// The registry's host name and port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one is named.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is named.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same reference with [`DEFAULT_TAG`] where it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository with another tag and no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with a digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The repository alone, without tag and digest.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// Registry and repository in the short form, without tag or digest: `debian` for `docker.io/library/debian`.
    pub fn familiar_name(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix(OFFICIAL)) {
            (DEFAULT_DOMAIN, Some(official)) if !official.contains('/') => official.to_owned(),
            // What would be read as another registry's keeps its own.
            (DEFAULT_DOMAIN, _) if !starts_with_registry(&self.path) => self.path.clone(),
            (domain, _) => format!("{domain}/{}", self.path),
        }
    }

    /// The short form that people type and tables show: `debian:bookworm`.
    pub fn familiar(&self) -> String {
        self.append_suffix(self.familiar_name())
    }

    fn append_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.append_suffix(format!("{}/{}", self.domain, self.path)))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if Digest::from_hex(text).is_ok() {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Format);
        }
        let (domain, path) = split_domain(name);
        check_path(&path)?;
        if !is_domain(&domain) {
            return Err(ReferenceError::Format);
        }
        if domain.len() + 1 + path.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }
}

/// A colon after the last slash begins the tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn starts_with_registry(path: &str) -> bool {
    path.split_once('/').is_some_and(|(first, _)| first == "localhost" || first.contains('.'))
}

/// The first component is a registry when it has a dot, a colon or an upper-case letter, or is `localhost`.
fn split_domain(name: &str) -> (String, String) {
    let is_registry = |first: &str| {
        first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    let official = domain == DEFAULT_DOMAIN && !path.contains('/');
    (domain.to_owned(), if official { format!("{OFFICIAL}{path}") } else { path.to_owned() })
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        let familiar = path.strip_prefix(OFFICIAL).unwrap_or(path);
        return Err(ReferenceError::UpperCase(familiar.to_owned()));
    }
    if path.split('/').all(is_component) { Ok(()) } else { Err(ReferenceError::Format) }
}

/// `[a-z0-9]+` joined by one dot, one or two underscores, or any number of dashes (distribution-spec).
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_well = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    let bytes = text.as_bytes();
    let separators_are_valid = bytes
        .split(|b| alphanumeric(*b))
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'));
    ends_well(bytes.first()) && ends_well(bytes.last()) && separators_are_valid
}

/// A host name or address with an optional port.
fn is_domain(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_is_valid;
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `text` names a repository within a registry: components joined by slashes, at most 255 bytes
/// (distribution-spec).
pub fn is_repository(text: &str) -> bool {
    text.len() <= MAX_NAME && text.split('/').all(is_component)
}

/// Whether `text` is a tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}` (distribution-spec).
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Reference {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian", "debian"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
            ("docker.io/debian", "docker.io/library/debian", "debian"),
            ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
            ("user/app:1.0", "docker.io/user/app:1.0", "user/app:1.0"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("docker.io/ghcr.io/app", "docker.io/ghcr.io/app", "docker.io/ghcr.io/app"),
            ("localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("ghcr.io/o/r__x-y.z", "ghcr.io/o/r__x-y.z", "ghcr.io/o/r__x-y.z"),
        ] {
            assert_eq!(parse(text).to_string(), full);
            assert_eq!(parse(text).familiar(), familiar);
        }
    }

    #[test]
    fn only_a_bare_name_gets_the_default_tag() {
        assert_eq!(parse("a").or_latest().tag(), Some("latest"));
        assert_eq!(parse("a:1").or_latest().tag(), Some("1"));
        let pinned = format!("a@{}", Digest::of(b""));
        assert_eq!(parse(&pinned).or_latest().tag(), None);
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        let id = "a".repeat(64);
        for text in
            ["", ":", "a:", "a::b", "-a", "a/", "/a", "a//b", "a..b", "a___b", "a b", "a:t t", "a@sha256:12", "A", &id]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert_eq!("Web".parse::<Reference>(), Err(ReferenceError::UpperCase("Web".into())));
    }

    proptest! {
        #[test]
        fn any_input_is_answered_and_what_is_accepted_reads_back(text in "\\PC{0,80}|[a-z0-9./:@_-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
                prop_assert_eq!(reference.familiar().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
