//! Registries, as the engine speaks to them.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use wharf_api::filters::Filters;
use wharf_api::image::{Descriptor, Platform, Progress, SearchResult};
use wharf_api::system::{AuthConfig, AuthResponse};
use wharf_types::{Error, Result};

use crate::client::Client;
use crate::images::auth_header;
use crate::query::Target;
use crate::stream::JsonLines;

/// What is pushed.
#[derive(Debug, Clone, Default)]
pub struct ImagePushOptions {
    /// Repository, with registry.
    pub image: String,
    /// Tag; all tags when absent.
    pub tag: Option<String>,
    /// Only the image for this `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// Who asks.
    pub auth: AuthConfig,
}

/// What a name means in its registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DistributionInspect {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// For which platforms there are images.
    pub platforms: Vec<Platform>,
}

/// A manifest or index as a registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteManifest {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its bytes.
    pub bytes: Bytes,
}

fn of_name(name: &str, what: &str) -> Target {
    Target::named("distribution", name, what)
}

fn who(auth: Option<&AuthConfig>) -> Result<HeaderMap> {
    auth.map(auth_header).transpose().map(Option::unwrap_or_default)
}

/// Requests about registries.
impl Client {
    /// Puts an image into its registry.
    pub async fn image_push(&self, options: &ImagePushOptions) -> Result<JsonLines<Progress>> {
        let target = Target::named("images", &options.image, "/push")
            .with_option("platform", options.platform.as_ref())
            .with_option("tag", options.tag.as_ref());
        Ok(JsonLines::new(self.stream_with(Method::POST, target, auth_header(&options.auth)?).await?))
    }

    /// Shows credentials to a registry.
    pub async fn auth(&self, auth: &AuthConfig) -> Result<AuthResponse> {
        self.post_json(Target::new("/auth"), auth).await
    }

    /// Searches Docker Hub, or the registry that the term begins with.
    pub async fn image_search(
        &self,
        term: &str,
        limit: Option<u32>,
        filters: &Filters,
        auth: Option<&AuthConfig>,
    ) -> Result<Vec<SearchResult>> {
        let target = Target::new("/images/search")
            .with("term", term)
            .with_option("limit", limit.map(|limit| limit.to_string()).as_ref())
            .with_filters(filters);
        let response = self.stream_with(Method::GET, target, who(auth)?).await?;
        decoded(&collected(response).await?)
    }

    /// What a name means in its registry.
    pub async fn distribution_inspect(&self, name: &str, auth: Option<&AuthConfig>) -> Result<DistributionInspect> {
        let response = self.stream_with(Method::GET, of_name(name, "/json"), who(auth)?).await?;
        decoded(&collected(response).await?)
    }

    /// The manifest or index that a name means in its registry, byte for byte. Only wharf answers this.
    pub async fn remote_manifest(&self, name: &str, auth: Option<&AuthConfig>) -> Result<RemoteManifest> {
        let response = self.stream_with(Method::GET, of_name(name, "/manifest"), who(auth)?).await?;
        let text = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (media_type, digest) = (text(header::CONTENT_TYPE.as_str()), text("docker-content-digest"));
        Ok(RemoteManifest { media_type, digest, bytes: collected(response).await? })
    }

    /// Puts a manifest or index into a registry; gives its digest. Only wharf does this.
    pub async fn put_remote_manifest(
        &self,
        name: &str,
        media_type: &str,
        bytes: Bytes,
        auth: Option<&AuthConfig>,
    ) -> Result<String> {
        let mut headers = who(auth)?;
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| Error::invalid(format!("{media_type:?} is no media type")))?;
        headers.insert(header::CONTENT_TYPE, kind);
        let answer = self.send_bytes(Method::PUT, of_name(name, "/manifest"), headers, bytes).await?;
        let digest = answer.get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(digest.unwrap_or_default().to_owned())
    }
}

async fn collected(response: http::Response<hyper::body::Incoming>) -> Result<Bytes> {
    let body = response.into_body().collect().await;
    Ok(body.map_err(|error| Error::unavailable("the engine's answer broke off").caused_by(error))?.to_bytes())
}

fn decoded<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    wharf_api::decode(bytes)
        .map_err(|error| Error::system("the engine's answer could not be understood").caused_by(error))
}
