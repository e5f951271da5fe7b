//! Reads manifests as far as a registry must understand them (OCI image-spec 1.1, Docker image manifest v2 schema 2).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use wharf_types::Digest;

use crate::server::problem::{Answered, Problem};

/// The largest manifest, as the specification asks for at least.
pub const MAX_SIZE: usize = 4 << 20;

/// Media types of manifests.
pub mod media {
    /// An image or artifact.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// Several manifests.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image, in Docker's words.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Several manifests, in Docker's words.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
}

/// What a registry needs to know of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The type that is stored and served.
    pub media_type: String,
    /// Blobs that must be there.
    pub blobs: Vec<Digest>,
    /// Manifests that are part of this one.
    pub manifests: Vec<Digest>,
    /// What this one is about.
    pub subject: Option<Digest>,
    /// How it appears among the referrers of its subject.
    pub artifact_type: Option<String>,
    /// Its annotations, which that list repeats.
    pub annotations: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: Digest,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Manifest {
    /// Reads a manifest that was sent with this type; without one, its own counts.
    pub fn read(bytes: &[u8], content_type: Option<&str>) -> Answered<Self> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| Problem::manifest_invalid(format!("this is no manifest: {error}")))?;
        if document.schema_version != 2 {
            return Err(Problem::manifest_invalid("only manifests of schema version 2 can be stored")
                .about(json!({ "schemaVersion": document.schema_version })));
        }
        let content_type =
            content_type.and_then(|text| text.split(';').next()).map(str::trim).filter(|t| !t.is_empty());
        let media_type = match (&document.media_type, content_type) {
            (Some(inside), Some(outside)) if inside != outside => {
                return Err(Problem::manifest_invalid("the manifest names another media type than the request")
                    .about(json!({ "mediaType": inside, "contentType": outside })));
            }
            (Some(known), _) => known.clone(),
            (None, Some(known)) => known.to_owned(),
            (None, None) if document.manifests.is_some() => media::OCI_INDEX.to_owned(),
            (None, None) => media::OCI_MANIFEST.to_owned(),
        };
        // With a parameter it would not be the same type when it is read again as the header has it (RFC 6838, 4.2).
        let is_word = media_type.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        if !is_word || media_type.len() > 255 {
            return Err(Problem::manifest_invalid("this is no media type"));
        }
        document.resolve(media_type)
    }

    /// The descriptor by which the referrers of its subject list it (distribution-spec, "Listing Referrers").
    pub fn descriptor(&self, digest: &Digest, size: usize) -> Value {
        let mut descriptor = json!({ "mediaType": self.media_type, "digest": digest, "size": size });
        if let Some(artifact_type) = &self.artifact_type {
            descriptor["artifactType"] = json!(artifact_type);
        }
        if !self.annotations.is_empty() {
            descriptor["annotations"] = Value::Object(self.annotations.clone());
        }
        descriptor
    }
}

impl Document {
    fn resolve(self, media_type: String) -> Answered<Manifest> {
        let is_index = media_type == media::OCI_INDEX || media_type == media::DOCKER_LIST;
        let is_image = media_type == media::OCI_MANIFEST || media_type == media::DOCKER_MANIFEST;
        if is_index && (self.manifests.is_none() || self.config.is_some() || self.layers.is_some()) {
            return Err(Problem::manifest_invalid("an index has manifests, and neither config nor layers"));
        }
        if is_image && (self.config.is_none() || self.manifests.is_some()) {
            return Err(Problem::manifest_invalid("an image manifest has a config and layers, and no manifests"));
        }
        // Content that is fetched from elsewhere need not be here.
        let own = |descriptor: &Descriptor| descriptor.urls.as_ref().is_none_or(Vec::is_empty);
        let layers = self.layers.unwrap_or_default();
        let mut blobs: Vec<Digest> =
            self.config.iter().chain(layers.iter().filter(|layer| own(layer))).map(|blob| blob.digest).collect();
        blobs.sort_unstable();
        blobs.dedup();
        let mut manifests: Vec<Digest> =
            self.manifests.unwrap_or_default().iter().filter(|part| own(part)).map(|part| part.digest).collect();
        manifests.sort_unstable();
        manifests.dedup();
        // Without a type of its own an artifact is what its config is.
        let artifact_type = self.artifact_type.filter(|text| !text.is_empty()).or_else(|| self.config?.media_type);
        Ok(Manifest {
            media_type,
            blobs,
            manifests,
            subject: self.subject.map(|subject| subject.digest),
            artifact_type,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(text: &str) -> String {
        Digest::of(text.as_bytes()).to_string()
    }

    #[test]
    fn an_image_names_its_blobs_once_and_not_those_of_others() {
        let text = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.example", "digest": digest("c"), "size": 1 },
            "layers": [
                { "mediaType": "l", "digest": digest("l"), "size": 1 }, { "mediaType": "l", "digest": digest("l"), "size": 1 },
                { "mediaType": "f", "digest": digest("f"), "size": 1, "urls": ["https://elsewhere"] },
            ],
            "subject": { "mediaType": media::OCI_MANIFEST, "digest": digest("s"), "size": 1 },
            "annotations": { "a": "b" },
        });
        let manifest = Manifest::read(text.to_string().as_bytes(), None).unwrap();
        assert_eq!(manifest.blobs.len(), 2);
        assert_eq!(manifest.subject.unwrap().to_string(), digest("s"));
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.example"));
        let descriptor = manifest.descriptor(&Digest::of(b"m"), 5);
        assert_eq!(descriptor["annotations"]["a"], "b");
        let problem = Manifest::read(text.to_string().as_bytes(), Some(media::DOCKER_MANIFEST)).unwrap_err();
        assert_eq!(problem.code, "MANIFEST_INVALID");
    }

    #[test]
    fn what_is_neither_image_nor_index_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"schemaVersion\":1}",
            "{\"schemaVersion\":2}",
            "{\"schemaVersion\":2,\"manifests\":[],\"config\":{\"digest\":\"sha256:0\"}}",
            &json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "layers": []}).to_string(),
        ] {
            assert_eq!(Manifest::read(text.as_bytes(), None).unwrap_err().code, "MANIFEST_INVALID", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::read(&bytes, None);
        }
    }
}
