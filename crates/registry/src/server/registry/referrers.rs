//! What refers to a manifest (distribution-spec, "Listing Referrers").

use std::collections::BTreeMap;

use serde_json::Value;
use wharf_types::Digest;

use super::{Registry, keys};
use crate::server::names::{Name, Refer};
use crate::server::problem::Answered;

impl Registry {
    /// Descriptors of everything that refers to `subject`.
    pub async fn referrers(&self, name: &Name, subject: &Digest) -> Answered<Vec<Value>> {
        let mut found = BTreeMap::new();
        for entry in self.store.list(&keys::referrers(name, subject)).await? {
            let Some(referrer) = entry.name.split_once('.').and_then(|(_, hex)| Digest::from_hex(hex).ok()) else {
                continue;
            };
            let document = self.store.get(&keys::referrer(name, subject, &referrer)).await?;
            // Written after the manifest and removed after it: without one it says nothing.
            if let Some(document) = document
                && self.has_manifest(name, &referrer).await?
                && let Ok(descriptor) = serde_json::from_slice::<Value>(&document.bytes)
            {
                found.insert(referrer.to_string(), descriptor);
            }
        }
        for descriptor in self.fallback(name, subject).await? {
            if let Some(digest) = descriptor["digest"].as_str() {
                found.entry(digest.to_owned()).or_insert(descriptor);
            }
        }
        Ok(found.into_values().collect())
    }

    /// What clients have written into an index under the tag that older registries need
    /// (distribution-spec, "Referrers Tag Schema").
    async fn fallback(&self, name: &Name, subject: &Digest) -> Answered<Vec<Value>> {
        let tag = Refer::Tag(format!("sha256-{}", subject.hex()));
        let Some(index) = self.manifest(name, &tag).await? else { return Ok(Vec::new()) };
        let document: Value = serde_json::from_slice(&index.bytes).unwrap_or_default();
        Ok(document["manifests"].as_array().cloned().unwrap_or_default())
    }
}
