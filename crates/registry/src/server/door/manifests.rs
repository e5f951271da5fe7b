//! Manifests: read, stored, deleted; referrers.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use wharf_types::Digest;

use super::{Answer, Body, Call, Door, answer};
use crate::server::auth::Action;
use crate::server::names::{Name, Refer};
use crate::server::problem::{Answered, Problem};
use crate::server::registry::manifest::{MAX_SIZE, media};
use crate::server::registry::manifests::Completeness;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Door {
    /// GET and HEAD of a manifest.
    pub(super) async fn manifest(&self, call: &Call, name: &Name, refer: &Refer) -> Answered<Answer> {
        self.guard.check(call, name, Action::Pull)?;
        let found = match self.cache.serves(name) {
            Some(upstream) => self.cache.manifest(&self.registry, upstream, name, refer, &self.metrics).await?,
            None => self.registry.manifest(name, refer).await?,
        };
        let stored = found.ok_or_else(|| {
            Problem::manifest_unknown("this repository has no such manifest")
                .about(json!({ "name": name.as_str(), "reference": refer.to_string() }))
        })?;
        if answer::is_known(call.header(header::IF_NONE_MATCH), &stored.digest) {
            let mut answer = answer::empty(StatusCode::NOT_MODIFIED);
            answer::identify(&mut answer, &stored.digest);
            return Ok(answer);
        }
        let mut answer = answer::with(StatusCode::OK, Body::of(stored.bytes));
        answer::set(&mut answer, header::CONTENT_TYPE, &stored.media_type);
        answer::identify(&mut answer, &stored.digest);
        Ok(answer)
    }

    /// PUT of a manifest.
    pub(super) async fn put_manifest(&self, mut call: Call, name: &Name, refer: &Refer) -> Answered<Answer> {
        self.guard.check(&call, name, Action::Push)?;
        self.cache.refuse_push(name)?;
        let bytes = self.whole_body(&mut call).await?;
        let content_type = call.header(header::CONTENT_TYPE);
        let stored = self.registry.put_manifest(name, refer, &bytes, content_type, Completeness::Required).await;
        let (digest, manifest) = stored?;
        let mut answer = answer::empty(StatusCode::CREATED);
        answer::set(&mut answer, header::LOCATION, format!("/v2/{name}/manifests/{digest}"));
        answer::set(&mut answer, answer::DIGEST, digest.to_string());
        if let Some(subject) = manifest.subject {
            answer::set(&mut answer, SUBJECT, subject.to_string());
        }
        Ok(answer)
    }

    async fn whole_body(&self, call: &mut Call) -> Answered<Bytes> {
        let mut whole = BytesMut::new();
        let Some(mut body) = call.body.take() else { return Ok(Bytes::new()) };
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Problem::manifest_invalid(format!("the manifest ended early: {error}")))?;
            let Some(bytes) = frame.data_ref() else { continue };
            self.metrics.received.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
            if whole.len() + bytes.len() > MAX_SIZE {
                return Err(Problem::too_large("a manifest may have 4 MiB at most"));
            }
            whole.extend_from_slice(bytes);
        }
        Ok(whole.freeze())
    }

    /// DELETE of a manifest or a tag.
    pub(super) async fn delete_manifest(&self, call: &Call, name: &Name, refer: &Refer) -> Answered<Answer> {
        self.guard.check(call, name, Action::Delete)?;
        match refer {
            Refer::Tag(tag) => self.registry.delete_tag(name, tag).await?,
            Refer::Digest(digest) => self.registry.delete_manifest(name, digest).await?,
        }
        Ok(answer::empty(StatusCode::ACCEPTED))
    }

    /// What refers to a manifest; there need not be such a manifest.
    pub(super) async fn referrers(&self, call: &Call, name: &Name, digest: &Digest) -> Answered<Answer> {
        self.guard.check(call, name, Action::Pull)?;
        let artifact_type = call.query("artifactType");
        let foreign = match self.cache.serves(name) {
            Some(upstream) => self.cache.referrers(upstream, name, digest, &self.metrics).await,
            None => None,
        };
        let mut found = match foreign {
            Some(found) => found,
            None => self.registry.referrers(name, digest).await?,
        };
        found.retain(|one| artifact_type.as_ref().is_none_or(|wanted| one["artifactType"] == wanted.as_str()));
        let index = json!({ "schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": found });
        let mut answer = answer::json(&index, media::OCI_INDEX);
        if artifact_type.is_some() {
            answer::set(&mut answer, FILTERS, "artifactType");
        }
        Ok(answer)
    }
}
