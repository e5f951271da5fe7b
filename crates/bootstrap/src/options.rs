//! What the caller wants: which distribution, from where, into which image.

use std::path::PathBuf;
use std::time::SystemTime;
use wharf_types::{Error, Platform, Reference, Result};

/// Everything that decides what [`crate::bootstrap`] does. The library reads neither the environment nor `$HOME`.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to make.
    pub suite: Suite,
    /// The name of the image.
    pub tag: Reference,
    /// Where the repository is; by default where the host's own apt finds it.
    pub mirror: Option<String>,
    /// Components of the repository.
    pub components: Vec<String>,
    /// Packages to install on top.
    pub include: Vec<String>,
    /// Keys that may sign the repository, binary or armored; by default those that the host's apt accepts for it.
    pub keyring: Option<PathBuf>,
    /// Proxies for the downloads.
    pub proxies: Proxies,
    /// Certificates that may vouch for an `https` mirror (PEM); by default the roots that browsers trust.
    pub ca_bundle: Option<PathBuf>,
    /// Where downloads are kept for the next time.
    pub cache: PathBuf,
    /// The root of the host whose apt is asked; `/` but in tests.
    pub host_root: PathBuf,
    /// What to do when the image is there already.
    pub refresh: Refresh,
    /// Also take packages from the `-updates` and `-security` suites that the host's apt names.
    pub updates: bool,
    /// Refuse a repository whose Release file says that it is out of date.
    pub check_valid_until: bool,
    /// The present time, against which keys and Release files are held.
    pub now: SystemTime,
}

/// What to do when an image of the same name and contents list is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing: this takes a few milliseconds and no network.
    IfMissing,
    /// Ask the mirror, and build only if any package has changed.
    IfChanged,
    /// Build in any case.
    Always,
}

/// Proxies as the environment variables `http_proxy`, `https_proxy` and `no_proxy` would name them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `http` mirrors.
    pub http: Option<String>,
    /// For `https` mirrors.
    pub https: Option<String>,
    /// Hosts that are asked directly, separated by commas.
    pub exceptions: Option<String>,
}

/// A distribution and one of its suites, such as `debian:bookworm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// `debian` or `ubuntu`, or any other that has a mirror and a keyring.
    pub distribution: String,
    /// A suite's or code name: `bookworm`, `stable`, `sid`.
    pub name: String,
}

impl Suite {
    /// Reads `distribution:suite`.
    pub fn parse(text: &str) -> Result<Self> {
        let valid =
            |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        match text.split_once(':') {
            Some((distribution, name)) if valid(distribution) && valid(name) && !name.starts_with('.') => {
                Ok(Self { distribution: distribution.to_owned(), name: name.to_owned() })
            }
            _ => Err(Error::invalid(format!("'{text}' does not name a distribution and a suite"))
                .with_hint("write it as in 'wharf image bootstrap debian:bookworm'")),
        }
    }
}

impl Options {
    /// The defaults for `distribution:suite`, with downloads kept in `cache`.
    pub fn new(suite: &str, cache: impl Into<PathBuf>) -> Result<Self> {
        let tag =
            suite.parse().map_err(|error| Error::invalid(format!("'{suite}' is no image name")).caused_by(error))?;
        Ok(Self {
            suite: Suite::parse(suite)?,
            tag,
            mirror: None,
            components: vec!["main".to_owned()],
            include: Vec::new(),
            keyring: None,
            proxies: Proxies::default(),
            ca_bundle: None,
            cache: cache.into(),
            host_root: PathBuf::from("/"),
            refresh: Refresh::IfMissing,
            updates: true,
            check_valid_until: true,
            now: SystemTime::now(),
        })
    }

    /// The names of the included packages, each once and in order.
    pub(crate) fn included(&self) -> Vec<String> {
        let mut names = self.include.clone();
        names.sort();
        names.dedup();
        names
    }
}

/// What Debian calls the processor that the host has.
pub(crate) fn host_architecture() -> String {
    let platform = Platform::host();
    match platform.architecture.as_str() {
        "386" => "i386",
        "arm" => "armhf",
        "ppc64le" => "ppc64el",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_distribution_and_suite() {
        let suite = Suite::parse("debian:bookworm").unwrap();
        assert_eq!((suite.distribution.as_str(), suite.name.as_str()), ("debian", "bookworm"));
        for wrong in ["debian", "debian:", ":sid", "debian:../x", "debian:..", "a b:c"] {
            let error = Suite::parse(wrong).unwrap_err();
            assert!(error.hint().is_some(), "{wrong}");
        }
    }

    #[test]
    fn the_image_is_called_as_the_suite() {
        let options = Options::new("debian:bookworm", "/tmp").unwrap();
        assert_eq!(options.tag.familiar(), "debian:bookworm");
    }
}
