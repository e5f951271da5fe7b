//! Manifests, indexes, and what refers to them.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use wharf_types::{Digest, Error, Kind, Result};

use super::failure::Failure;
use super::repository::Repository;
use super::transport::{Call, Door, read_limited};

/// The media types that are asked for.
pub const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// The media types of Docker's first format, which only names itself in order to be refused clearly.
const OLD_TYPES: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1, */*;q=0.1";
/// The largest manifest, in bytes (distribution specification: registries should take 4 MiB).
const LIMIT: usize = 4 << 20;
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a name means at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes; 0 where the registry does not say.
    pub size: u64,
}

/// A manifest or index, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Digest of the bytes.
    pub digest: Digest,
    /// What the registry says it is.
    pub media_type: String,
    /// Exactly as the registry has it.
    pub bytes: Bytes,
}

impl Repository {
    /// What a tag or digest means, by one `HEAD`. `None` where the registry answers but does not say.
    pub async fn resolve(&self, name: &str) -> Result<Option<Resolved>> {
        let ask = |door: Door| async move { self.head(&door, name).await };
        match self.anywhere(|host| host.resolve, ask).await {
            Ok(resolved) => Ok(resolved),
            Err(failure) if failure.status == Some(StatusCode::METHOD_NOT_ALLOWED) => Ok(None),
            Err(failure) => Err(in_words(failure)),
        }
    }

    async fn head(&self, door: &Door, name: &str) -> Result<Option<Resolved>, Failure> {
        let response = door.send(&self.ask_for(Method::HEAD, door, name)?, &self.scopes).await?;
        let Some(digest) = promised(&response) else { return Ok(None) };
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Some(Resolved { digest, media_type: media_type(&response), size: length.unwrap_or(0) }))
    }

    /// The manifest or index with this tag or digest.
    ///
    /// # Errors
    /// `Corrupt` when it is not what its digest promises.
    pub async fn manifest(&self, name: &str) -> Result<Document> {
        let ask = |door: Door| async move { self.get(&door, name).await };
        let fits = if name.contains(':') {
            |host: &super::host::Host| host.pull
        } else {
            |host: &super::host::Host| host.resolve
        };
        self.anywhere(fits, ask).await.map_err(in_words)
    }

    async fn get(&self, door: &Door, name: &str) -> Result<Document, Failure> {
        let response = door.send(&self.ask_for(Method::GET, door, name)?, &self.scopes).await?;
        let (header, media_type) = (promised(&response), media_type(&response));
        let bytes = read_limited(response, LIMIT).await?;
        let digest = Digest::of(&bytes);
        let wanted = name.parse::<Digest>().ok().or(header);
        if wanted.is_some_and(|wanted| wanted != digest) {
            let host = door.host.authority();
            let what = format!("{host} sends a manifest with digest {digest} for {name}, which is another one");
            return Err(Error::corrupt(what).with_hint("the registry, or a proxy before it, is broken").into());
        }
        Ok(Document { digest, media_type, bytes })
    }

    fn ask_for(&self, method: Method, door: &Door, name: &str) -> Result<Call> {
        let mut headers = HeaderMap::new();
        for accepted in MANIFEST_TYPES.iter().chain(&[OLD_TYPES]) {
            headers.append(ACCEPT, HeaderValue::from_static(accepted));
        }
        let url = door.url(&format!("{}/manifests/{name}", self.path))?;
        Ok(Call::new(method, url).with_headers(headers))
    }

    /// Puts a manifest under a tag or its digest.
    pub async fn put_manifest(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<Digest> {
        let door = self.push_door()?;
        let digest = Digest::of(&bytes);
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| Error::invalid(format!("{media_type:?} is no media type")))?;
        let url = door.url(&format!("{}/manifests/{name}", self.path))?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let call = Call::new(Method::PUT, url).with_headers(headers).with_bytes(bytes);
        let response = door.send(&call, &self.scopes).await?;
        match promised(&response) {
            Some(stored) if stored != digest => Err(Error::corrupt(format!(
                "{} has stored the manifest with digest {stored} instead of {digest}",
                door.host.authority()
            ))),
            _ => Ok(digest),
        }
    }

    /// Removes a manifest by tag or digest.
    pub async fn delete_manifest(&self, name: &str) -> Result<()> {
        let door = self.push_door()?;
        let url = door.url(&format!("{}/manifests/{name}", self.path))?;
        door.send(&Call::new(Method::DELETE, url), &self.scopes).await.map_err(in_words)?;
        Ok(())
    }

    /// The index of what refers to a manifest: signatures, attestations, lists of parts. Registries without that
    /// question are asked for the tag that stands in for it.
    pub async fn referrers(&self, digest: &Digest) -> Result<Bytes> {
        let ask = |door: Door| async move {
            let url = door.url(&format!("{}/referrers/{digest}", self.path))?;
            let response = door.send(&Call::new(Method::GET, url), &self.scopes).await?;
            read_limited(response, LIMIT).await
        };
        match self.anywhere(|host| host.pull, ask).await {
            Ok(bytes) => Ok(bytes),
            Err(failure) if failure.is_not_there() => match self.manifest(&format!("sha256-{}", digest.hex())).await {
                Ok(document) => Ok(document.bytes),
                Err(error) if error.kind() == Kind::NotFound => Ok(Bytes::from_static(NOTHING)),
                Err(error) => Err(error),
            },
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The index that nothing refers to.
const NOTHING: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

fn promised(response: &Response) -> Option<Digest> {
    response.headers().get(DIGEST)?.to_str().ok()?.parse().ok()
}

fn media_type(response: &Response) -> String {
    let text = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// An answer to `HEAD` has no words; these are the registries' own.
fn in_words(failure: Failure) -> Error {
    let is_wordless = failure.error.to_string() == "not found";
    match failure.error.kind() {
        Kind::NotFound if is_wordless => Error::not_found("manifest unknown: manifest unknown"),
        _ => failure.error,
    }
}
