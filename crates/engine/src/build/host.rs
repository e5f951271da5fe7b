//! What the engine lends to builds.

use std::path::PathBuf;
use std::sync::Arc;

use wharf_build::host::{Cloned, Command, Download, Future, Host, Output, Scratch, Session};
use wharf_build::plan::ImageRequest;
use wharf_image::{Image, ImageStore};
use wharf_storage::Lease;
use wharf_types::{Error, Id, Kind, Platform, Reference, Result, ResultExt};

use super::{fetch, git};
use crate::container::sandbox;
use crate::image::{Credentials, Images, PullRequest, Report};
use crate::names;
use crate::services::Services;

/// The engine as a build sees it.
pub struct EngineHost {
    pub services: Services,
}

impl Host for EngineHost {
    fn images(&self) -> &ImageStore {
        self.services.images.store()
    }

    fn scratch(&self) -> Result<Scratch> {
        let (id, running) = (names::fresh_id(), self.services.steps.begin());
        let snapshot = self.services.images.snapshots().prepare(&id)?;
        Ok(Scratch {
            snapshot,
            guard: Box::new(Discard { id, images: self.services.images.clone(), _running: running }),
        })
    }

    fn cache_mounts(&self) -> PathBuf {
        self.services.config.build_dir().join("mounts")
    }

    fn resolve<'a>(
        &'a self,
        request: &'a ImageRequest,
        pull: bool,
        session: &'a dyn Session,
    ) -> Future<'a, Result<(Arc<Image>, Lease)>> {
        Box::pin(async move {
            let wanted: Platform = request
                .platform
                .parse()
                .map_err(|error: wharf_types::PlatformError| Error::invalid(error.to_string()))?;
            let here = self.services.images.store().resolve_leased(&request.name);
            let is_id = request.name.starts_with("sha256:") || request.name.parse::<Reference>().is_err();
            match here {
                Ok((image, lease)) if image.platform().satisfies(&wanted) && (!pull || is_id) => Ok((image, lease)),
                Err(error) if error.kind() != Kind::NotFound || is_id => Err(error),
                _ => self.pull(request, wanted, session).await,
            }
        })
    }

    fn run(&self, command: Command, output: Output) -> Future<'_, Result<i32>> {
        Box::pin(sandbox::run(&self.services, command, output))
    }

    fn download<'a>(&'a self, url: &'a str, into: PathBuf) -> Future<'a, Result<Download>> {
        Box::pin(fetch::file(&self.services.images, url, into))
    }

    fn clone_repository<'a>(&'a self, url: &'a str, keep_git_dir: bool, into: PathBuf) -> Future<'a, Result<Cloned>> {
        Box::pin(git::clone(url, keep_git_dir, into))
    }
}

impl EngineHost {
    /// Asks the registry.
    async fn pull(
        &self,
        request: &ImageRequest,
        wanted: Platform,
        session: &dyn Session,
    ) -> Result<(Arc<Image>, Lease)> {
        let invalid = |error| Error::invalid(format!("invalid reference format: {:?}", request.name)).caused_by(error);
        let name: Reference = request.name.parse().map_err(invalid)?;
        let name = name.or_latest();
        let login = session.registry_login(name.domain()).await?.unwrap_or_default();
        let credentials = Credentials {
            username: login.username,
            password: login.password,
            identity_token: login.identity_token,
            ..Credentials::default()
        };
        let pull = PullRequest { name, platform: Some(wanted), credentials };
        let silent: Report = Arc::new(|_| {});
        self.services.images.pull(&pull, &silent).await.context(format!("cannot find the image {}", request.name))?;
        self.services.images.store().resolve_leased(&request.name)
    }
}

/// Takes the folders of a step away.
struct Discard {
    id: Id,
    images: Images,
    _running: sandbox::Running,
}

impl Drop for Discard {
    fn drop(&mut self) {
        match self.images.snapshots().discard(&self.id) {
            Ok(()) => self.images.empty_trash_later(),
            Err(error) => {
                tracing::warn!(step = %self.id, error = %error.chain(), "left behind; the next engine removes it")
            }
        }
    }
}
