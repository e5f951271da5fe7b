//! Registries and repositories as one person sees them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;
use wharf_types::{Error, Result};

use super::auth::{Authorizer, Credentials};
use super::failure::{Again, Failure};
use super::host::{self, Host};
use super::settings::Settings;
use super::transport::{Call, Door, Transport, read_limited};

/// A mirror that could not be reached is left alone for so long.
const SHUNNED: Duration = Duration::from_secs(60);
/// People whose tokens are kept, at most.
const PEOPLE: usize = 256;
/// A list of tags or repositories is read in pages of so many.
const PAGE: u32 = 1000;
/// A page is smaller than this, in bytes.
const PAGE_LIMIT: usize = 8 << 20;
/// A list has at most so many pages, whatever the registry says.
const PAGES: usize = 1000;

/// The door to all registries: connections, tokens and what was learnt about hosts. Clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    transport: Arc<Transport>,
    people: Mutex<HashMap<(String, Credentials), Arc<Authorizer>>>,
    shunned: Mutex<HashMap<String, Instant>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// What one wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Read, write and delete.
    Delete,
}

impl Registry {
    /// A client with these settings. Nothing is connected yet.
    pub fn new(settings: Settings) -> Self {
        let transport = Arc::new(Transport::new(settings));
        Self(Arc::new(Inner { transport, people: Mutex::default(), shunned: Mutex::default() }))
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.0.transport
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.0.transport.settings
    }

    /// The repository `path` of the registry `domain`. The credentials are for the registry itself, not its mirrors.
    pub fn repository(
        &self,
        domain: &str,
        path: &str,
        credentials: &Credentials,
        access: Access,
    ) -> Result<Repository> {
        let doors = self.doors(domain, credentials)?;
        let scopes = vec![scope(path, access)];
        Ok(Repository { registry: self.clone(), doors, path: path.to_owned(), scopes, preferred: AtomicUsize::new(0) })
    }

    /// The names of all repositories of a registry that lists them.
    pub async fn catalog(&self, domain: &str, credentials: &Credentials) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            repositories: Option<Vec<String>>,
        }
        let door = self.origin(domain, credentials)?;
        let scopes = ["registry:catalog:*".to_owned()];
        let pages: Vec<Page> = pages(&door, &format!("_catalog?n={PAGE}"), &scopes).await?;
        Ok(pages.into_iter().filter_map(|page| page.repositories).flatten().collect())
    }

    pub(crate) fn doors(&self, domain: &str, credentials: &Credentials) -> Result<Vec<Door>> {
        let hosts = host::all(&self.0.transport.settings, domain)?;
        Ok(hosts.into_iter().map(|host| self.door(host, credentials)).collect())
    }

    /// The registry itself.
    pub(crate) fn origin(&self, domain: &str, credentials: &Credentials) -> Result<Door> {
        let origin = self.doors(domain, credentials)?.pop();
        origin.ok_or_else(|| Error::invalid(format!("{domain} has no address")))
    }

    fn door(&self, host: Host, credentials: &Credentials) -> Door {
        let known = if host.is_origin { credentials.clone() } else { Credentials::default() };
        let key = (host.base.to_string(), known.clone());
        let mut people = self.0.people.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= PEOPLE {
            people.clear();
        }
        let auth = people.entry(key).or_insert_with(|| Arc::new(Authorizer::new(known))).clone();
        Door { transport: self.0.transport.clone(), host: Arc::new(host), auth }
    }

    fn is_shunned(&self, door: &Door) -> bool {
        let mut shunned = self.0.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.retain(|_, until| Instant::now() < *until);
        !door.host.is_origin && shunned.contains_key(&door.host.authority())
    }

    fn shun(&self, door: &Door) {
        let until = Instant::now() + SHUNNED;
        self.0.shunned.lock().unwrap_or_else(PoisonError::into_inner).insert(door.host.authority(), until);
    }
}

/// The name of an access right (distribution specification, token scopes).
pub(crate) fn scope(path: &str, access: Access) -> String {
    let rights = match access {
        Access::Pull => "pull",
        Access::Push => "pull,push",
        Access::Delete => "pull,push,delete",
    };
    format!("repository:{path}:{rights}")
}

/// One repository.
pub struct Repository {
    registry: Registry,
    doors: Vec<Door>,
    pub(crate) path: String,
    pub(crate) scopes: Vec<String>,
    /// Which door has answered last: it most likely has the rest as well.
    preferred: AtomicUsize,
}

impl Repository {
    /// The host of the registry itself, for people.
    pub fn host(&self) -> String {
        self.doors.last().map(|door| door.host.authority()).unwrap_or_default()
    }

    /// All tags.
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let path = format!("{}/tags/list?n={PAGE}", self.path);
        let list = |door: Door| {
            let path = path.clone();
            async move { pages::<Page>(&door, &path, &self.scopes).await }
        };
        let pages = self.anywhere(|host| host.resolve, list).await?;
        Ok(pages.into_iter().filter_map(|page| page.tags).flatten().collect())
    }

    /// Does something at the first door that can do it: the one that worked last, then mirrors in order, then the
    /// registry itself, whose failure is the one that counts.
    pub(crate) async fn anywhere<T, F>(&self, fits: fn(&Host) -> bool, act: impl Fn(Door) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut last = None;
        for index in self.order(fits) {
            let door = &self.doors[index];
            match act(door.clone()).await {
                Ok(result) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(result);
                }
                Err(failure) => {
                    self.note(door, &failure);
                    last = Some(failure);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::invalid("no host of this registry may be asked for it").into()))
    }

    /// The doors in the order in which they are tried.
    pub(crate) fn order(&self, fits: fn(&Host) -> bool) -> Vec<usize> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let is_open = |index: &usize| fits(&self.doors[*index].host) && !self.registry.is_shunned(&self.doors[*index]);
        let first = (preferred > 0 && preferred + 1 < self.doors.len()).then_some(preferred);
        let others = (0..self.doors.len()).filter(|index| Some(*index) != first);
        first.into_iter().chain(others).filter(is_open).collect()
    }

    pub(crate) fn door(&self, index: usize) -> &Door {
        &self.doors[index]
    }

    /// Remembers mirrors that are of no use at the moment.
    pub(crate) fn note(&self, door: &Door, failure: &Failure) {
        if door.host.is_origin {
            return;
        }
        tracing::info!(mirror = %door.host.authority(), error = %failure.error.chain(), "a mirror is passed over");
        if failure.again == Again::Unreachable {
            self.registry.shun(door);
        }
    }

    /// Where things are put: the first host that says it takes them, or the registry itself.
    pub(crate) fn push_door(&self) -> Result<&Door> {
        let found = self.doors.iter().find(|door| door.host.push);
        found.ok_or_else(|| Error::forbidden(format!("{} takes no pushes", self.host())))
    }
}

/// Reads all pages of a list.
async fn pages<T: serde::de::DeserializeOwned>(door: &Door, path: &str, scopes: &[String]) -> Result<Vec<T>, Failure> {
    let mut url = door.url(path)?;
    let mut all = Vec::new();
    for _ in 0..PAGES {
        let response = door.send(&Call::new(Method::GET, url.clone()), scopes).await?;
        let next = next_page(response.headers(), &url);
        let bytes = read_limited(response, PAGE_LIMIT).await?;
        let page = serde_json::from_slice(&bytes);
        let unclear = |error| Error::system(format!("{} gives no valid list", door.host.authority())).caused_by(error);
        all.push(page.map_err(unclear)?);
        match next {
            Some(next) if next != url => url = next,
            _ => break,
        }
    }
    Ok(all)
}

/// `Link: </v2/_catalog?last=x>; rel="next"` (RFC 8288), on the same host only.
fn next_page(headers: &HeaderMap, from: &Url) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let target = link.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
    let inside = target.split_once('<')?.1.split_once('>')?.0;
    from.join(inside).ok().filter(|next| next.origin() == from.origin())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_on_the_same_host() {
        let from = Url::parse("http://a.test/v2/_catalog?n=2").unwrap();
        let next = |text: &'static str| {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(text))]);
            next_page(&headers, &from).map(|url| url.to_string())
        };
        let expected = "http://a.test/v2/_catalog?last=b&n=2";
        assert_eq!(next("</v2/_catalog?last=b&n=2>; rel=\"next\"").as_deref(), Some(expected));
        assert_eq!(next("<?last=b&n=2>; rel=\"next\"").as_deref(), Some(expected));
        assert_eq!(next("<http://b.test/v2/_catalog>; rel=\"next\""), None);
        assert_eq!(next("</v2/_catalog>; rel=\"prev\""), None);
    }
}
