//! Tags, and the list of repositories.

use wharf_types::Digest;

use super::{Registry, keys};
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};
use crate::server::store::Durability;

impl Registry {
    /// What a tag stands for.
    pub async fn resolve(&self, name: &Name, tag: &str) -> Answered<Option<Digest>> {
        let document = self.store.get(&keys::tag(name, tag)).await?;
        Ok(document.and_then(|document| std::str::from_utf8(&document.bytes).ok()?.parse().ok()))
    }

    /// Lets a tag stand for a manifest that exists.
    pub(super) async fn set_tag(&self, name: &Name, tag: &str, digest: &Digest) -> Answered<()> {
        let before = self.resolve(name, tag).await?;
        self.claim(&[keys::tagged(name, digest, tag)], &[*digest]).await?;
        self.store.put(&keys::tag(name, tag), digest.to_string().into(), Durability::Synced).await?;
        match before {
            Some(before) if before != *digest => self.lost_tag(name, &before).await,
            _ => Ok(()),
        }
    }

    /// Deletes a tag and nothing else.
    pub async fn delete_tag(&self, name: &Name, tag: &str) -> Answered<()> {
        let digest = self.resolve(name, tag).await?;
        let digest = digest.ok_or_else(|| Problem::manifest_unknown("this repository has no such tag"))?;
        self.store.delete(&[keys::tag(name, tag)]).await?;
        self.lost_tag(name, &digest).await
    }

    /// The mark of the tag itself stays until the collector has seen that it is no longer true: another server may be
    /// about to set the same tag.
    async fn lost_tag(&self, name: &Name, digest: &Digest) -> Answered<()> {
        Ok(self.store.mark(&[keys::untagged(name, digest)]).await?)
    }

    /// All tags of a repository, in the order of their bytes.
    pub async fn tags(&self, name: &Name) -> Answered<Vec<String>> {
        let entries = self.store.list(&keys::tags(name)).await?;
        if entries.is_empty() && self.store.age(&keys::catalog(name)).await?.is_none() {
            return Err(Problem::name_unknown("there is no such repository")
                .about(serde_json::json!({ "name": name.as_str() })));
        }
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// All repositories, in the order of their bytes.
    pub async fn catalog(&self) -> Answered<Vec<Name>> {
        let entries = self.store.list("catalog/").await?;
        let mut names: Vec<Name> = entries.iter().filter_map(|entry| keys::from_catalog(&entry.name)).collect();
        names.sort();
        Ok(names)
    }

    /// Puts the repository on the list, or makes its entry new again before it gets old.
    pub(super) async fn renew_catalog(&self, name: &Name) -> Answered<()> {
        let key = keys::catalog(name);
        match self.store.age(&key).await? {
            Some(age) if age <= self.keeping.grace / 2 => Ok(()),
            _ => Ok(self.store.mark(&[key]).await?),
        }
    }
}
