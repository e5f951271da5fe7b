//! Searching a registry: Docker Hub's index, or the names of all repositories of a registry that lists them.

use reqwest::{Method, Url};
use serde::Deserialize;
use wharf_types::{DEFAULT_DOMAIN, Error, Result};

use super::auth::Credentials;
use super::failure::Failure;
use super::repository::Registry;
use super::transport::{Call, Door, read_limited};

/// Where Docker Hub answers searches.
const INDEX: &str = "https://index.docker.io/";
/// An answer is smaller than this, in bytes.
const LIMIT: usize = 8 << 20;

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Repository.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// Stars.
    pub star_count: i64,
    /// Kept by the registry's own people.
    pub is_official: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Found>,
}

impl Registry {
    /// Repositories of the registry `domain` that match `term`, `limit` at most.
    pub async fn search(&self, domain: &str, term: &str, limit: u32, credentials: &Credentials) -> Result<Vec<Found>> {
        let door = self.origin(domain, credentials)?;
        match index(&door, domain, term, limit).await {
            Ok(found) => Ok(found),
            Err(failure) if failure.status.is_some_and(|s| matches!(s.as_u16(), 401 | 403 | 404 | 405)) => {
                // No index: the catalog is the next best. If there is none either, the index's answer is the right one.
                self.by_catalog(domain, term, limit, credentials).await.map_err(|_| failure.into())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn by_catalog(&self, domain: &str, term: &str, limit: u32, credentials: &Credentials) -> Result<Vec<Found>> {
        let names = self.catalog(domain, credentials).await?;
        let matching = names.into_iter().filter(|name| name.contains(term)).take(limit as usize);
        Ok(matching.map(|name| Found { name, ..Found::default() }).collect())
    }
}

async fn index(door: &Door, domain: &str, term: &str, limit: u32) -> Result<Vec<Found>, Failure> {
    let is_hub = domain == DEFAULT_DOMAIN && door.host.authority() == "registry-1.docker.io";
    let base = if is_hub { Url::parse(INDEX).ok() } else { door.host.base.join("../").ok() };
    let url = base.and_then(|base| base.join("v1/search").ok());
    let mut url = url.ok_or_else(|| Error::invalid(format!("{domain} has no address")))?;
    url.query_pairs_mut().append_pair("q", term).append_pair("n", &limit.to_string());
    let call = Call::new(Method::GET, url);
    let response = if is_hub {
        let response = door.transport.exchange(&door.host, &call, None).await?;
        if response.status().as_u16() >= 400 {
            return Err(Failure::of_answer("index.docker.io", response).await);
        }
        response
    } else {
        door.send(&call, &[]).await?
    };
    let bytes = read_limited(response, LIMIT).await?;
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|error| Error::system(format!("{domain} gives no valid answer to a search")).caused_by(error))?;
    Ok(answer.results)
}
