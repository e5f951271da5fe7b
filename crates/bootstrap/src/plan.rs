//! Which packages are needed and where they are: everything that is known before the first package is fetched.

use crate::configure::AptSource;
use crate::fetch::Fetcher;
use crate::index::{Index, Package};
use crate::mirror::{Repository, keyring, repositories};
use crate::options::Options;
use crate::progress::{Event, Phase, Progress};
use crate::repository::{Verified, fetch_index, open};
use crate::resolve::resolve;
use std::path::PathBuf;
use std::time::SystemTime;
use wharf_types::{Digest, Hasher, Kind, Result, ResultExt};

/// A package that will be part of the image.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Where it is fetched from.
    pub url: String,
    /// Where it is kept.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its file.
    pub sha256: Digest,
}

/// The whole plan.
#[derive(Debug)]
pub struct Plan {
    /// Packages that every system must have, in the order in which they are merged.
    pub base: Vec<Chosen>,
    /// Packages that are installed on top.
    pub extra: Vec<Chosen>,
    /// What the image's own apt shall use.
    pub sources: Vec<AptSource>,
    /// When the latest of the Release files was made: the image's idea of the present.
    pub date: SystemTime,
    /// The digest of the main suite's Release file.
    pub release: Digest,
    /// The code name of the suite.
    pub codename: String,
    /// The digest of the list of all packages.
    pub packages: Digest,
}

impl Plan {
    /// All packages.
    pub fn all(&self) -> impl Iterator<Item = &Chosen> {
        self.base.iter().chain(&self.extra)
    }
}

/// Asks the repositories and chooses the packages.
pub fn make(fetcher: &Fetcher, options: &Options, architecture: &str, progress: &dyn Progress) -> Result<Plan> {
    progress.report(Event::Begin(Phase::Index));
    let folders = ["indices", "packages"].map(|name| options.cache.join(name));
    for folder in &folders {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let verified = open_all(fetcher, options, progress)?;
    let texts =
        verified.iter().map(|found| fetch_index(fetcher, found, architecture, options)).collect::<Result<Vec<_>>>()?;
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let index = Index::parse(&texts, architecture)?;
    let mut include = options.included();
    // A mirror that is reached by TLS is of no use to an image that cannot verify its certificate.
    if verified.iter().any(|found| found.uri.starts_with("https:")) && index.get("ca-certificates").is_some() {
        include.push("ca-certificates".to_owned());
    }
    let selection = resolve(&index, &include)?;
    let chosen = |package: &&Package<'_>| choose(package, &verified, options);
    let mut base: Vec<_> = selection.base.iter().map(chosen).collect();
    // base-files defines the folders, base-passwd the users; everything else builds on them.
    base.sort_by_key(|package| match package.name.as_str() {
        "base-files" => 0,
        "base-passwd" => 1,
        _ => 2,
    });
    let extra: Vec<_> = selection.extra.iter().map(chosen).collect();
    let packages = digest_of(base.iter().chain(&extra));
    let main = &verified[0].release;
    let date = verified.iter().map(|found| found.release.date).max().unwrap_or(main.date);
    Ok(Plan {
        base,
        extra,
        sources: apt_sources(&verified),
        date,
        release: main.digest,
        codename: main.codename.clone(),
        packages,
    })
}

/// The main suite must be there; its companions are passed over where the mirror does not have them.
fn open_all(fetcher: &Fetcher, options: &Options, progress: &dyn Progress) -> Result<Vec<Verified>> {
    let mut verified = Vec::new();
    for (at, repository) in repositories(options)?.iter().enumerate() {
        let Repository { uri, suite, .. } = repository;
        match open(fetcher, repository, &keyring(options, repository)?, options) {
            Ok(found) => {
                progress.report(Event::Note(&format!("{uri} {suite}: signature verified")));
                verified.push(found);
            }
            Err(error) if at > 0 && error.kind() == Kind::NotFound => {
                progress.report(Event::Note(&format!("{uri} has no suite '{suite}', going on without it")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(verified)
}

fn choose(package: &Package<'_>, verified: &[Verified], options: &Options) -> Chosen {
    let name = format!("{}.deb", package.sha256.hex());
    Chosen {
        name: package.name.to_owned(),
        version: package.version.to_owned(),
        architecture: package.architecture.to_owned(),
        url: format!("{}/{}", verified[package.repository].uri, package.filename),
        path: options.cache.join("packages").join(name),
        size: package.size,
        sha256: package.sha256,
    }
}

/// One entry for each address, with its suites by code name, so that `stable` does not become the next one some day.
fn apt_sources(verified: &[Verified]) -> Vec<AptSource> {
    let mut sources: Vec<AptSource> = Vec::new();
    for found in verified {
        let codename = &found.release.codename;
        let suite = if codename.is_empty() { &found.suite } else { codename }.clone();
        match sources.iter_mut().find(|source| source.uri == found.uri) {
            Some(source) => source.suites.push(suite),
            None => sources.push(AptSource { uri: found.uri.clone(), suites: vec![suite] }),
        }
    }
    sources
}

fn digest_of<'a>(packages: impl Iterator<Item = &'a Chosen>) -> Digest {
    let mut lines: Vec<_> = packages
        .map(|package| {
            format!("{} {} {} {}\n", package.name, package.version, package.architecture, package.sha256.hex())
        })
        .collect();
    lines.sort();
    let mut hasher = Hasher::new();
    lines.iter().for_each(|line| hasher.update(line.as_bytes()));
    hasher.finish()
}
