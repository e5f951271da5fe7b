//! Where the packages come from: which repositories, at which addresses, signed by which keys.

use crate::keyring::Keyring;
use crate::options::Options;
use crate::sources::{self, SignedBy, Source};
use std::path::{Path, PathBuf};
use wharf_types::{Error, Result, ResultExt};

/// One suite of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Where it is, without a slash at the end.
    pub uri: String,
    /// The suite's name there.
    pub suite: String,
    /// Which keys may sign it.
    pub signed_by: SignedBy,
}

/// The repositories for the wanted suite, the main one first.
pub fn repositories(options: &Options) -> Result<Vec<Repository>> {
    let sources = sources::read(&options.host_root.join("etc/apt"))?;
    let suite = &options.suite;
    let found = best_match(&sources, &suite.distribution, &suite.name);
    if let Some(mirror) = &options.mirror {
        let signed_by = found.map_or(SignedBy::Default, |(source, _)| source.signed_by.clone());
        return Ok(vec![Repository { uri: without_slash(mirror), suite: suite.name.clone(), signed_by }]);
    }
    let (source, base) = found.ok_or_else(|| {
        Error::not_found(format!("the host's apt names no mirror for '{}:{}'", suite.distribution, suite.name))
            .with_hint("name one with --mirror URL")
    })?;
    let mut all = vec![Repository {
        uri: first_uri(source, options)?,
        suite: suite.name.clone(),
        signed_by: source.signed_by.clone(),
    }];
    if options.updates {
        all.extend(companions(&sources, base, options)?);
    }
    Ok(all)
}

/// The source that names the suite itself, or else another suite of the same distribution, and the name found there.
fn best_match<'s>(sources: &'s [Source], distribution: &str, suite: &str) -> Option<(&'s Source, &'s str)> {
    let all = || sources.iter().flat_map(|source| source.suites.iter().map(move |name| (source, name.as_str())));
    let of_distribution =
        |source: &Source| source.uris.iter().any(|uri| without_slash(uri).rsplit('/').next() == Some(distribution));
    all()
        .find(|(source, name)| *name == suite && of_distribution(source))
        .or_else(|| all().find(|(_, name)| *name == suite))
        .or_else(|| all().find(|(source, name)| of_distribution(source) && !name.contains('-')))
}

/// The `-updates` and `-security` suites that the host has beside `base`, for the wanted suite.
fn companions(sources: &[Source], base: &str, options: &Options) -> Result<Vec<Repository>> {
    let mut found = Vec::new();
    for kind in ["-updates", "-security"] {
        let name = format!("{base}{kind}");
        if let Some(source) = sources.iter().find(|source| source.suites.contains(&name)) {
            let suite = format!("{}{kind}", options.suite.name);
            found.push(Repository { uri: first_uri(source, options)?, suite, signed_by: source.signed_by.clone() });
        }
    }
    Ok(found)
}

fn first_uri(source: &Source, options: &Options) -> Result<String> {
    let uris = source.uris.iter().map(|uri| follow_list(uri, &options.host_root)).collect::<Result<Vec<_>>>()?;
    let usable = |uri: &&String| uri.starts_with("http://") || uri.starts_with("https://");
    uris.iter().find(usable).map(|uri| without_slash(uri)).ok_or_else(|| {
        Error::not_found(format!(
            "none of the addresses that the host's apt uses is reached by http ({})",
            source.uris.join(", ")
        ))
        .with_hint("name a mirror with --mirror URL")
    })
}

/// `mirror+file:/etc/apt/mirrors/list` names a file with the addresses, the best first (apt-transport-mirror(1)).
fn follow_list(uri: &str, root: &Path) -> Result<String> {
    let Some(path) = uri.strip_prefix("mirror+file:") else { return Ok(uri.to_owned()) };
    let path = root.join(path.trim_start_matches('/'));
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the list of mirrors {}", path.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Ok(lines.filter_map(|line| line.split_whitespace().next()).next().unwrap_or_default().to_owned())
}

fn without_slash(uri: &str) -> String {
    uri.trim_end_matches('/').to_owned()
}

/// The keys that may sign a repository: those that were asked for, else those of its entry in apt's list, else the
/// distribution's keyring on the host, else all that the host trusts.
pub fn keyring(options: &Options, repository: &Repository) -> Result<Keyring> {
    let mut ring = Keyring::default();
    for path in match (&options.keyring, &repository.signed_by) {
        (Some(path), _) => vec![path.clone()],
        (None, SignedBy::Files(paths)) => paths.iter().map(|path| in_root(&options.host_root, path)).collect(),
        (None, SignedBy::Inline(key)) => {
            ring.add(key.as_bytes()).context("cannot read the key in apt's list")?;
            Vec::new()
        }
        (None, SignedBy::Default) => default_keyrings(options)?,
    } {
        let content = std::fs::read(&path).with_context(|| format!("cannot read the keyring {}", path.display()))?;
        ring.add(&content).with_context(|| format!("cannot read the keyring {}", path.display()))?;
    }
    if ring.is_empty() {
        return Err(Error::not_found(format!("there are no keys to verify '{}' with", repository.uri)).with_hint(
            "install the distribution's archive keyring package on the host, or name its keys with --keyring",
        ));
    }
    Ok(ring)
}

fn default_keyrings(options: &Options) -> Result<Vec<PathBuf>> {
    let shared = options.host_root.join("usr/share/keyrings");
    for extension in ["gpg", "pgp", "asc"] {
        let path = shared.join(format!("{}-archive-keyring.{extension}", options.suite.distribution));
        if path.is_file() {
            return Ok(vec![path]);
        }
    }
    let trusted = options.host_root.join("etc/apt/trusted.gpg.d");
    if !trusted.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&trusted).with_context(|| format!("cannot list {}", trusted.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "gpg" || extension == "asc") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn in_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestKey;

    const LIST: &str = "Types: deb\nURIs: http://m.test/debian/\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n\
                        Types: deb\nURIs: http://m.test/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
                        Types: deb\nURIs: https://other.test/tool\nSuites: nodistro\n";

    fn options(suite: &str, list: &str) -> (tempfile::TempDir, Options) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/apt/sources.list.d")).unwrap();
        std::fs::write(root.path().join("etc/apt/sources.list.d/d.sources"), list).unwrap();
        let mut options = Options::new(suite, root.path().join("cache")).unwrap();
        options.host_root = root.path().to_owned();
        (root, options)
    }

    fn places(options: &Options) -> Vec<String> {
        repositories(options).unwrap().into_iter().map(|found| format!("{} {}", found.uri, found.suite)).collect()
    }

    #[test]
    fn takes_the_mirror_of_the_hosts_apt() {
        let (_root, mut options) = options("debian:bookworm", LIST);
        let expected = [
            "http://m.test/debian bookworm",
            "http://m.test/debian bookworm-updates",
            "http://m.test/debian-security bookworm-security",
        ];
        assert_eq!(places(&options), expected);
        options.updates = false;
        assert_eq!(places(&options), expected[..1]);
    }

    #[test]
    fn takes_the_same_mirror_for_another_suite() {
        let (_root, options) = options("debian:trixie", LIST);
        assert_eq!(places(&options)[0], "http://m.test/debian trixie");
        assert_eq!(places(&options)[2], "http://m.test/debian-security trixie-security");
    }

    #[test]
    fn an_explicit_mirror_stands_alone() {
        let (_root, mut options) = options("debian:bookworm", LIST);
        options.mirror = Some("http://my.test/d/".to_owned());
        assert_eq!(places(&options), ["http://my.test/d bookworm"]);
        assert_eq!(repositories(&options).unwrap()[0].signed_by, SignedBy::Files(vec!["/k.gpg".into()]));
    }

    #[test]
    fn says_when_there_is_no_mirror() {
        let (_root, options) = options("ubuntu:noble", LIST);
        let error = repositories(&options).unwrap_err();
        assert!(error.hint().unwrap().contains("--mirror"));
    }

    #[test]
    fn follows_a_list_of_mirrors() {
        let (root, options) =
            options("debian:bookworm", "Types: deb\nURIs: mirror+file:/etc/apt/list\nSuites: bookworm\n");
        std::fs::write(root.path().join("etc/apt/list"), "# best\nhttps://m.test/debian/ priority:1\n").unwrap();
        assert_eq!(places(&options), ["https://m.test/debian bookworm"]);
    }

    #[test]
    fn finds_the_keys() {
        let (root, mut options) = options("debian:bookworm", LIST);
        let all = repositories(&options).unwrap();
        assert!(keyring(&options, &all[0]).is_err());
        std::fs::write(root.path().join("k.gpg"), TestKey::new().public()).unwrap();
        assert!(keyring(&options, &all[0]).is_ok());
        let error = keyring(&options, &all[2]).unwrap_err();
        assert!(error.hint().unwrap().contains("--keyring"));
        std::fs::create_dir_all(root.path().join("etc/apt/trusted.gpg.d")).unwrap();
        std::fs::write(root.path().join("etc/apt/trusted.gpg.d/a.asc"), TestKey::new().armored()).unwrap();
        assert!(keyring(&options, &all[2]).is_ok());
        options.keyring = Some(root.path().join("missing"));
        assert!(keyring(&options, &all[0]).is_err());
    }
}
