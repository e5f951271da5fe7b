//! Fetches what a repository says about itself, and believes only what its keys have signed.

use crate::clearsign::Clearsigned;
use crate::deb::decompress_index;
use crate::fetch::{Expected, Fetcher};
use crate::keyring::Keyring;
use crate::mirror::Repository;
use crate::options::Options;
use crate::release::Release;
use wharf_types::{Error, Kind, Result, ResultExt};

/// A Release file is some hundred kilobytes; this is where a hostile mirror is stopped.
const RELEASE_LIMIT: u64 = 32 << 20;

/// A repository whose Release file has been verified.
#[derive(Debug)]
pub struct Verified {
    /// Its address.
    pub uri: String,
    /// The suite by the name that was asked for.
    pub suite: String,
    /// What its Release file says.
    pub release: Release,
}

/// Fetches and verifies the Release file.
pub fn open(fetcher: &Fetcher, repository: &Repository, ring: &Keyring, options: &Options) -> Result<Verified> {
    let base = format!("{}/dists/{}", repository.uri, repository.suite);
    let text = match fetcher.get(&format!("{base}/InRelease"), RELEASE_LIMIT) {
        Ok(message) => verify_inline(&message, ring, options),
        Err(error) if error.kind() == Kind::NotFound => verify_detached(fetcher, &base, ring, options),
        Err(error) => Err(error),
    };
    let text = text.with_context(|| format!("cannot trust the suite '{}' of {}", repository.suite, repository.uri))?;
    let release = Release::parse(&text)?;
    release.check_suite(&repository.suite)?;
    if options.check_valid_until {
        release.check_valid_until(options.now)?;
    }
    Ok(Verified { uri: repository.uri.clone(), suite: repository.suite.clone(), release })
}

fn verify_inline(message: &[u8], ring: &Keyring, options: &Options) -> Result<String> {
    let message = std::str::from_utf8(message).map_err(|_| Error::corrupt("the Release file is no UTF-8 text"))?;
    let parsed = Clearsigned::parse(message)?;
    ring.verify(&parsed.signed_bytes(), &parsed.signature, options.now)?;
    Ok(parsed.text)
}

fn verify_detached(fetcher: &Fetcher, base: &str, ring: &Keyring, options: &Options) -> Result<String> {
    let content = fetcher.get(&format!("{base}/Release"), RELEASE_LIMIT).map_err(|error| match error.kind() {
        Kind::NotFound => Error::not_found("the mirror does not have this suite")
            .with_hint("check the suite's name and the mirror's address")
            .caused_by(error),
        _ => error,
    })?;
    let signature = fetcher.get(&format!("{base}/Release.gpg"), RELEASE_LIMIT).map_err(|error| match error.kind() {
        Kind::NotFound => Error::forbidden("the Release file is not signed")
            .with_hint("take another mirror with --mirror")
            .caused_by(error),
        _ => error,
    })?;
    let signature = std::str::from_utf8(&signature)
        .map_err(|_| Error::corrupt("the signature of the Release file is malformed"))?;
    ring.verify(&content, signature, options.now)?;
    String::from_utf8(content).map_err(|_| Error::corrupt("the Release file is no UTF-8 text"))
}

/// Fetches the package indices of the wanted components, one text for all.
pub fn fetch_index(fetcher: &Fetcher, verified: &Verified, architecture: &str, options: &Options) -> Result<String> {
    let mut text = String::new();
    for component in &options.components {
        text.push_str(&fetch_component(fetcher, verified, &format!("{component}/binary-{architecture}"), options)?);
        text.push_str("\n\n");
    }
    Ok(text)
}

fn fetch_component(fetcher: &Fetcher, verified: &Verified, folder: &str, options: &Options) -> Result<String> {
    let files = &verified.release.files;
    let found = ["Packages.xz", "Packages.gz", "Packages"]
        .into_iter()
        .find_map(|name| Some((name, files.get(&format!("{folder}/{name}"))?)));
    let (name, &(size, sha256)) = found.ok_or_else(|| {
        Error::not_found(format!("the suite '{}' of {} has no {folder}", verified.suite, verified.uri))
            .with_hint("check the components and whether the distribution supports this processor")
    })?;
    let path = if verified.release.by_hash { format!("by-hash/SHA256/{}", sha256.hex()) } else { name.to_owned() };
    let url = format!("{}/dists/{}/{folder}/{path}", verified.uri, verified.suite);
    let extension = name.strip_prefix("Packages").unwrap_or_default();
    let kept = options.cache.join("indices").join(format!("{}{extension}", sha256.hex()));
    fetcher.download(&url, &kept, Expected { size, sha256 }, &|_| ())?;
    let packed = std::fs::read(&kept).with_context(|| format!("cannot read {}", kept.display()))?;
    decompress_index(if extension.is_empty() { "Packages.tar" } else { name }, &packed)
}
