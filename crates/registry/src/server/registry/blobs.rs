//! Blobs of repositories.

use wharf_types::Digest;

use super::{Registry, keys};
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};

impl Registry {
    /// The size of a blob of the repository. Whoever has been told so may name it in a manifest.
    pub async fn blob(&self, name: &Name, digest: &Digest) -> Answered<Option<u64>> {
        self.claim_blob(name, digest).await
    }

    /// Lets `target` have a blob that `source` has; says whether it does.
    pub async fn mount(&self, target: &Name, source: &Name, digest: &Digest) -> Answered<bool> {
        if self.claim_blob(source, digest).await?.is_none() {
            return Ok(false);
        }
        self.claim(&[keys::link(target, digest)], &[*digest]).await?;
        Ok(self.store.stat(digest).await?.is_some())
    }

    /// Takes a blob from a repository; refuses while one of its manifests names it.
    pub async fn delete_blob(&self, name: &Name, digest: &Digest) -> Answered<()> {
        let unknown = || {
            Problem::blob_unknown("this repository does not have the blob")
                .about(serde_json::json!({ "digest": digest }))
        };
        let link = keys::link(name, digest);
        self.store.age(&link).await?.ok_or_else(unknown)?;
        self.store.doom(digest).await?;
        let deleted = self.unlink_unless_named(name, digest, link).await;
        self.store.spare(digest).await?;
        deleted
    }

    async fn unlink_unless_named(&self, name: &Name, digest: &Digest, link: String) -> Answered<()> {
        for entry in self.store.list(&format!("{link}.")).await? {
            let Some(manifest) = keys::read_use(&entry.name).and_then(|used| used.manifest) else { continue };
            if self.store.age(&keys::manifest(name, &manifest)).await?.is_some() {
                return Err(Problem::in_use(format!("the manifest {manifest} needs this blob; delete that first"))
                    .about(serde_json::json!({ "digest": digest, "manifest": manifest })));
            }
        }
        Ok(self.store.delete(&[link]).await?)
    }
}
