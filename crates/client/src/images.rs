//! Images.

use base64::Engine as _;
use http::{HeaderMap, HeaderName, Method};
use wharf_api::container::{CommitResponse, Config};
use wharf_api::filters::Filters;
use wharf_api::image::{DeleteItem, HistoryItem, Inspect, Progress, PruneReport, Summary};
use wharf_api::system::{AuthConfig, header::REGISTRY_AUTH};
use wharf_types::{Error, Result};

use crate::body::Upload;
use crate::client::{Client, text_header};
use crate::query::Target;
use crate::stream::{ByteStream, JsonLines};

/// Which images are listed, and how.
#[derive(Debug, Clone, Default)]
pub struct ImageListOptions {
    /// Also those that are only steps of others.
    pub all: bool,
    /// With the bytes that each shares with others.
    pub shared_size: bool,
    /// With the manifests for all platforms.
    pub manifests: bool,
    /// Which.
    pub filters: Filters,
}

/// What is pulled.
#[derive(Debug, Clone, Default)]
pub struct ImagePullOptions {
    /// Repository, with registry.
    pub image: String,
    /// Tag or digest; all tags when absent.
    pub tag: Option<String>,
    /// `os/architecture[/variant]`; the engine's own when absent.
    pub platform: Option<String>,
    /// Who asks.
    pub auth: Option<AuthConfig>,
}

/// What an imported root file system becomes.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Name of the image, `repository[:tag]`; none when empty.
    pub repository: String,
    /// A remark.
    pub message: Option<String>,
    /// Dockerfile instructions, `CMD ["sh"]`.
    pub changes: Vec<String>,
    /// `os/architecture[/variant]`.
    pub platform: Option<String>,
    /// Address from which the engine fetches the archive; what is sent along when absent.
    pub source: Option<String>,
}

/// What a container's files become.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Container.
    pub container: String,
    /// Repository; no name when empty.
    pub repository: String,
    /// Tag; `latest` when empty.
    pub tag: String,
    /// A remark.
    pub comment: String,
    /// Who made it.
    pub author: String,
    /// Do not freeze the container meanwhile.
    pub no_pause: bool,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
}

fn image(name: &str, rest: &str) -> Target {
    Target::named("images", name, rest)
}

/// Requests about images. `name` is a reference, an id, or the beginning of one.
impl Client {
    /// The images.
    pub async fn image_list(&self, options: &ImageListOptions) -> Result<Vec<Summary>> {
        let target = Target::new("/images/json")
            .with_flag("all", options.all)
            .with_flag("shared-size", options.shared_size)
            .with_flag("manifests", options.manifests)
            .with_filters(&options.filters);
        self.json(Method::GET, target).await
    }

    /// Everything about an image.
    pub async fn image_inspect(&self, name: &str) -> Result<Inspect> {
        self.json(Method::GET, image(name, "/json")).await
    }

    /// Everything about an image for one platform, which is JSON as the API has it (API 1.49).
    pub async fn image_inspect_for(&self, name: &str, platform: &str) -> Result<Inspect> {
        self.json(Method::GET, image(name, "/json").with("platform", platform)).await
    }

    /// The same as the engine sent it, with fields that this crate does not know.
    pub async fn image_inspect_raw(&self, name: &str) -> Result<serde_json::Value> {
        self.json(Method::GET, image(name, "/json")).await
    }

    /// How an image came about, newest step first; of several platforms the one that is named, as JSON.
    pub async fn image_history(&self, name: &str, platform: Option<&str>) -> Result<Vec<HistoryItem>> {
        self.json(Method::GET, image(name, "/history").with_option("platform", platform)).await
    }

    /// Gives an image another name.
    pub async fn image_tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        self.empty(Method::POST, image(name, "/tag").with("repo", repository).with_text("tag", tag)).await
    }

    /// Removes a name, and the image with its last one.
    pub async fn image_remove(&self, name: &str, force: bool, no_prune: bool) -> Result<Vec<DeleteItem>> {
        let target = image(name, "").with_flag("force", force).with_flag("noprune", no_prune);
        self.json(Method::DELETE, target).await
    }

    /// Removes of an image for several platforms those that are named, as JSON (API 1.50).
    pub async fn image_remove_platforms(
        &self,
        name: &str,
        force: bool,
        no_prune: bool,
        platforms: &[String],
    ) -> Result<Vec<DeleteItem>> {
        let mut target = image(name, "").with_flag("force", force).with_flag("noprune", no_prune);
        for platform in platforms {
            target = target.with("platforms", platform);
        }
        self.json(Method::DELETE, target).await
    }

    /// Removes unused images: those without name unless the filters say otherwise.
    pub async fn image_prune(&self, filters: &Filters) -> Result<PruneReport> {
        self.json(Method::POST, Target::new("/images/prune").with_filters(filters)).await
    }

    /// Fetches an image from a registry.
    pub async fn image_pull(&self, options: &ImagePullOptions) -> Result<JsonLines<Progress>> {
        let target = Target::new("/images/create")
            .with("fromImage", &options.image)
            .with_option("platform", options.platform.as_ref())
            .with_option("tag", options.tag.as_ref());
        let headers = options.auth.as_ref().map(auth_header).transpose()?.unwrap_or_default();
        Ok(JsonLines::new(self.stream_with(Method::POST, target, headers).await?))
    }

    /// Makes an image of a tar archive of a root file system, plain or compressed.
    pub async fn image_import(&self, options: &ImportOptions, tar: Upload) -> Result<JsonLines<Progress>> {
        let mut target = Target::new("/images/create");
        for change in &options.changes {
            target = target.with("changes", change);
        }
        let target = target
            .with("fromSrc", options.source.as_deref().unwrap_or("-"))
            .with_option("message", options.message.as_ref())
            .with_option("platform", options.platform.as_ref())
            .with_text("repo", &options.repository);
        Ok(JsonLines::new(self.upload(Method::POST, target, tar, "text/plain").await?.0))
    }

    /// Takes in images that were saved, as docker-archive or OCI layout.
    ///
    /// `platform` is JSON as the API has it: of an image for several platforms, only that is taken in.
    pub async fn image_load(&self, quiet: bool, platform: Option<&str>, tar: Upload) -> Result<JsonLines<Progress>> {
        let target = Target::new("/images/load").with_flag("quiet", quiet).with_option("platform", platform);
        Ok(JsonLines::new(self.upload(Method::POST, target, tar, "application/x-tar").await?.0))
    }

    /// Images as a tar archive, with all platforms that are there or, as JSON, with one.
    pub async fn image_save(&self, names: &[String], platform: Option<&str>) -> Result<ByteStream> {
        let mut target = Target::new("/images/get").with_option("platform", platform);
        for name in names {
            target = target.with("names", name);
        }
        Ok(ByteStream::new(self.stream(Method::GET, target).await?))
    }

    /// Makes an image of a container; `config` replaces parts of its configuration.
    pub async fn image_commit(&self, options: &CommitOptions, config: &Config) -> Result<CommitResponse> {
        let mut target = Target::new("/commit").with_text("author", &options.author);
        for change in &options.changes {
            target = target.with("changes", change);
        }
        let target = target
            .with_text("comment", &options.comment)
            .with("container", &options.container)
            .with_option("pause", options.no_pause.then_some("0"))
            .with_text("repo", &options.repository)
            .with_text("tag", &options.tag);
        self.post_json(target, config).await
    }
}

pub(crate) fn auth_header(auth: &AuthConfig) -> Result<HeaderMap> {
    let json =
        serde_json::to_vec(auth).map_err(|error| Error::invalid("the credentials cannot be sent").caused_by(error))?;
    text_header(HeaderName::from_static(REGISTRY_AUTH), &base64::engine::general_purpose::URL_SAFE.encode(json))
}
