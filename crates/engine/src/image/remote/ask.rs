//! Questions to registries: credentials, searches, what a name means there.

use serde_json::Value;
use wharf_api::image::{Descriptor, Platform, SearchResult};
use wharf_image::{Remote as Meaning, parts, read_remote};
use wharf_registry::client::{Access, Credentials, Document};
use wharf_types::{DEFAULT_DOMAIN, Error, Reference, Result};

use super::pull::in_dockers_words;
use crate::image::Images;

/// The largest configuration that is looked at for a platform, in bytes.
const CONFIG: usize = 4 << 20;
/// As many results as Docker Hub gives at most.
const MOST: u32 = 100;

/// What a name means in its registry.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// For which platforms there are images.
    pub platforms: Vec<Platform>,
}

impl Images {
    /// Shows credentials to a registry; gives a token to keep in their place, if the registry has one to give.
    pub async fn log_in(&self, server: &str, credentials: &Credentials) -> Result<Option<String>> {
        let domain = domain(server);
        Ok(self.remote().registry().login(&domain, credentials).await?.identity_token)
    }

    /// Searches Docker Hub, or the registry that the term begins with.
    pub async fn search(&self, term: &str, limit: u32, credentials: &Credentials) -> Result<Vec<SearchResult>> {
        let (domain, rest) = match term.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => (DEFAULT_DOMAIN, term),
        };
        if rest.is_empty() {
            return Err(Error::invalid("there is nothing to search for"));
        }
        let limit = if limit == 0 { 25 } else { limit.min(MOST) };
        let found = self.remote().registry().search(domain, rest, limit, credentials).await?;
        let result = |found: wharf_registry::client::Found| SearchResult {
            star_count: found.star_count,
            is_official: found.is_official,
            name: if domain == DEFAULT_DOMAIN { found.name } else { format!("{domain}/{}", found.name) },
            is_automated: false,
            description: found.description,
        };
        Ok(found.into_iter().map(result).collect())
    }

    /// What a name means in its registry.
    pub async fn distribution(&self, name: &Reference, credentials: &Credentials) -> Result<Distribution> {
        let document = self.remote_manifest(name, credentials).await?;
        let (own, platforms) = match read_remote(&document.bytes, &document.digest, &document.media_type)? {
            Meaning::Index(index) => {
                let members = index.manifests.iter().filter_map(|member| member.platform.clone());
                let platforms = members.filter_map(|platform| serde_json::from_value(platform).ok());
                (index.media_type, platforms.collect())
            }
            Meaning::Manifest(manifest) => {
                let repository =
                    self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Pull)?;
                let config = repository.small_blob(&manifest.config.digest, CONFIG).await?;
                // An artifact has no platform.
                let image = parts(&manifest, &config).ok().map(|(image, _)| image);
                let platform = image.filter(|image| !image.os.is_empty()).map(|image| Platform {
                    architecture: image.architecture,
                    os: image.os,
                    variant: image.variant,
                    ..Platform::default()
                });
                (manifest.media_type, platform.into_iter().collect())
            }
        };
        let descriptor = Descriptor {
            media_type: if own.is_empty() { document.media_type } else { own },
            digest: document.digest.to_string(),
            size: i64::try_from(document.bytes.len()).unwrap_or(0),
            ..Descriptor::default()
        };
        Ok(Distribution { descriptor, platforms })
    }

    /// The manifest or index that a name means in its registry, byte for byte.
    pub async fn remote_manifest(&self, name: &Reference, credentials: &Credentials) -> Result<Document> {
        let repository = self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Pull)?;
        let asked =
            name.digest().map_or_else(|| name.tag().unwrap_or("latest").to_owned(), |digest| digest.to_string());
        repository.manifest(&asked).await.map_err(|error| in_dockers_words(error, name))
    }

    /// Puts a manifest or index into a registry under the name's tag or digest, or under its own digest.
    pub async fn put_remote_manifest(
        &self,
        name: &Reference,
        media_type: &str,
        bytes: Vec<u8>,
        credentials: &Credentials,
    ) -> Result<wharf_types::Digest> {
        serde_json::from_slice::<Value>(&bytes)
            .map_err(|error| Error::invalid("the manifest is no valid JSON").caused_by(error))?;
        let repository = self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Push)?;
        let own = wharf_types::Digest::of(&bytes).to_string();
        let tag = name.tag().map_or(own, str::to_owned);
        repository.put_manifest(&tag, media_type, bytes.into()).await
    }

    /// The tags of a repository in its registry.
    pub async fn remote_tags(&self, name: &Reference, credentials: &Credentials) -> Result<Vec<String>> {
        let repository = self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Pull)?;
        repository.tags().await.map_err(|error| in_dockers_words(error, name))
    }
}

/// The registry of an address as people and `config.json` write it: `https://index.docker.io/v1/` is Docker Hub.
fn domain(server: &str) -> String {
    let without_scheme = server.split_once("://").map_or(server, |(_, rest)| rest);
    match without_scheme.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_DOMAIN.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_registries_are_read_in_all_forms() {
        for server in ["", "https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"] {
            assert_eq!(domain(server), "docker.io", "{server}");
        }
        assert_eq!(domain("https://reg.test:5000/v2/"), "reg.test:5000");
        assert_eq!(domain("localhost:5000"), "localhost:5000");
    }
}
