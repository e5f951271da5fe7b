//! Manifests: stored, found, deleted.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use wharf_types::Digest;

use super::keys::Mark;
use super::manifest::Manifest;
use super::{Registry, keys};
use crate::server::names::{Name, Refer};
use crate::server::problem::{Answered, Problem};
use crate::server::store::Durability;

/// A manifest as it is served.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its digest.
    pub digest: Digest,
    /// Its type.
    pub media_type: String,
    /// Its bytes, exactly as they came.
    pub bytes: Bytes,
}

/// Whether the content that a manifest names must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Everything must: a push.
    Required,
    /// It comes when it is asked for: a cache.
    Later,
}

impl Registry {
    /// The manifest by tag or digest.
    pub async fn manifest(&self, name: &Name, refer: &Refer) -> Answered<Option<Stored>> {
        let digest = match refer {
            Refer::Digest(digest) => *digest,
            Refer::Tag(tag) => match self.resolve(name, tag).await? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        // Whoever has been told that it exists may make it part of an index.
        let released = keys::released(name, &digest);
        if self.store.age(&released).await?.is_some() {
            self.claim(&[released], &[digest]).await?;
        }
        self.stored(name, &digest).await
    }

    /// The manifest by digest, unclaimed.
    pub(super) async fn stored(&self, name: &Name, digest: &Digest) -> Answered<Option<Stored>> {
        let Some(document) = self.store.get(&keys::manifest(name, digest)).await? else { return Ok(None) };
        let end = document.bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
        let media_type = String::from_utf8_lossy(&document.bytes[..end]).into_owned();
        let bytes = document.bytes.slice((end + 1).min(document.bytes.len())..);
        Ok(Some(Stored { digest: *digest, media_type, bytes }))
    }

    pub(super) async fn has_manifest(&self, name: &Name, digest: &Digest) -> Answered<bool> {
        Ok(self.store.age(&keys::manifest(name, digest)).await?.is_some())
    }

    /// Stores a manifest, under a tag if one is named. Everything it names is there and stays.
    pub async fn put_manifest(
        &self,
        name: &Name,
        refer: &Refer,
        bytes: &Bytes,
        content_type: Option<&str>,
        completeness: Completeness,
    ) -> Answered<(Digest, Manifest)> {
        let manifest = Manifest::read(bytes, content_type)?;
        let digest = Digest::of(bytes);
        if let Refer::Digest(expected) = refer
            && *expected != digest
        {
            return Err(Problem::digest_invalid("the manifest does not have this digest")
                .about(json!({ "digest": expected, "actual": digest })));
        }
        self.claim_contents(name, &digest, &manifest, completeness).await?;
        self.renew_catalog(name).await?;
        let mut document = BytesMut::with_capacity(bytes.len() + manifest.media_type.len() + 1);
        document.put_slice(manifest.media_type.as_bytes());
        document.put_u8(b'\n');
        document.put_slice(bytes);
        let document = document.freeze();
        let key = keys::manifest(name, &digest);
        self.store.put(&key, document.clone(), Durability::Synced).await?;
        if let Some(subject) = &manifest.subject {
            let descriptor = manifest.descriptor(&digest, bytes.len()).to_string();
            let key = keys::referrer(name, subject, &digest);
            self.store.put(&key, descriptor.into(), Durability::Synced).await?;
        }
        if let Refer::Tag(tag) = refer {
            self.set_tag(name, tag, &digest).await?;
        }
        // Somebody may have deleted the same manifest at the same time; the push is later.
        if self.store.age(&key).await?.is_none() {
            self.store.put(&key, document, Durability::Synced).await?;
        }
        // The collector may have taken the repository for an empty one.
        self.renew_catalog(name).await?;
        Ok((digest, manifest))
    }

    /// Marks what the manifest names, and sees that all of it is there.
    async fn claim_contents(
        &self,
        name: &Name,
        digest: &Digest,
        manifest: &Manifest,
        completeness: Completeness,
    ) -> Answered<()> {
        let uses = manifest.blobs.iter().map(|blob| keys::reference(name, blob, digest));
        let parts = manifest.manifests.iter().map(|part| keys::parent(name, part, digest));
        let marks: Vec<String> = uses.chain(parts).collect();
        let content: Vec<Digest> = manifest.blobs.iter().chain(&manifest.manifests).copied().chain([*digest]).collect();
        if completeness == Completeness::Later {
            return self.claim(&marks, &content).await;
        }
        // Looked at first, so that a manifest that is refused leaves nothing behind. A blob that was found keeps for a
        // while; of manifests only the mark makes sure.
        let blobs = manifest.blobs.iter().map(|blob| self.check_blob(name, blob));
        futures_util::future::try_join_all(blobs).await?;
        self.check_parts(name, manifest).await?;
        self.claim(&marks, &content).await?;
        self.check_parts(name, manifest).await
    }

    async fn check_blob(&self, name: &Name, blob: &Digest) -> Answered<()> {
        if self.claim_blob(name, blob).await?.is_some() {
            return Ok(());
        }
        Err(Problem::manifest_blob_unknown("the manifest names a blob that this repository does not have")
            .about(json!({ "digest": blob })))
    }

    async fn check_parts(&self, name: &Name, manifest: &Manifest) -> Answered<()> {
        for part in &manifest.manifests {
            if !self.has_manifest(name, part).await? {
                return Err(Problem::manifest_blob_unknown(
                    "the index names a manifest that this repository does not have",
                )
                .about(json!({ "digest": part })));
            }
        }
        Ok(())
    }

    /// Deletes a manifest with the tags that stand for it. Its parts and referrers go later, if nothing else keeps them.
    /// Refuses while it is part of an index.
    pub async fn delete_manifest(&self, name: &Name, digest: &Digest) -> Answered<()> {
        self.store.doom(digest).await?;
        let deleted = self.delete_unless_part(name, digest).await;
        self.store.spare(digest).await?;
        deleted
    }

    async fn delete_unless_part(&self, name: &Name, digest: &Digest) -> Answered<()> {
        let about = || json!({ "digest": digest });
        let stored = self.stored(name, digest).await?;
        let stored =
            stored.ok_or_else(|| Problem::manifest_unknown("this repository has no such manifest").about(about()))?;
        for entry in self.store.list(&keys::marks(name, digest)).await? {
            if let Some((_, Mark::Parent(index))) = keys::read_mark(&entry.name)
                && self.has_manifest(name, &index).await?
            {
                return Err(Problem::in_use(format!("the manifest is part of the index {index}; delete that first"))
                    .about(about()));
            }
        }
        self.erase(name, &stored).await
    }

    /// Removes a manifest that is announced to go, whatever keeps it.
    pub(super) async fn erase(&self, name: &Name, stored: &Stored) -> Answered<()> {
        let digest = &stored.digest;
        let marks = self.store.list(&keys::marks(name, digest)).await?;
        for entry in &marks {
            if let Some((_, Mark::Tagged(tag))) = keys::read_mark(&entry.name)
                && self.resolve(name, &tag).await? == Some(*digest)
            {
                self.store.delete(&[keys::tag(name, &tag)]).await?;
            }
        }
        let manifest = Manifest::read(&stored.bytes, Some(&stored.media_type)).ok();
        // What depends on it is released first: should this process die here, the collector finds that nothing is wrong.
        let parts = manifest.iter().flat_map(|manifest| manifest.manifests.clone());
        let mut released: Vec<String> = parts.map(|part| keys::released(name, &part)).collect();
        for entry in self.store.list(&keys::referrers(name, digest)).await? {
            if let Some(referrer) = entry.name.split_once('.').and_then(|(_, hex)| Digest::from_hex(hex).ok()) {
                released.push(keys::released(name, &referrer));
            }
        }
        self.store.mark(&released).await?;
        self.store.delete(&[keys::manifest(name, digest)]).await?;
        let folder = keys::all_marks(name);
        let mut rest: Vec<String> = marks.iter().map(|entry| format!("{folder}{}", entry.name)).collect();
        if let Some(subject) = manifest.and_then(|manifest| manifest.subject) {
            rest.push(keys::referrer(name, &subject, digest));
        }
        // The uses of blobs are left to the collector, which alone decides about blobs.
        Ok(self.store.delete(&rest).await?)
    }
}
