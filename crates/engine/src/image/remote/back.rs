//! Blobs that were given up because a registry has them: asking whether it does, and fetching them back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;
use wharf_image::{Absent, GivingUp, Part, Present};
use wharf_registry::client::{Access, Credentials, Repository};
use wharf_storage::{BlobInfo, Lease};
use wharf_types::{Digest, Error, Kind, Reference, Result};

use super::layer;
use crate::image::Images;

impl Images {
    /// Who gives up blobs in the name of this engine. To be used where blocking is allowed.
    pub(in crate::image) fn giving_up<'a>(&self, tell: &'a mut dyn FnMut(&Digest) -> bool) -> Asking<'a> {
        Asking { images: self.clone(), tell, repositories: HashMap::new(), silent: HashSet::new() }
    }

    /// Fetches blobs that were given up and makes them present. They stay for as long as the lease is held.
    ///
    /// # Errors
    /// `Unavailable` where none of the repositories gives one back; then nothing has changed.
    pub(in crate::image) async fn bring_back(&self, absent: Vec<Absent>) -> Result<Lease> {
        let wanted: Vec<Part> = absent.iter().map(|absent| absent.part.clone()).collect();
        let lease = self
            .run(move |store| {
                let mut lease = store.begin();
                for part in &wanted {
                    store.keep_part(&mut lease, part);
                }
                Ok(lease)
            })
            .await?;
        futures_util::future::try_join_all(absent.iter().map(|absent| self.bring_back_one(absent))).await?;
        Ok(lease)
    }

    /// Asks one repository after the other.
    async fn bring_back_one(&self, absent: &Absent) -> Result<()> {
        let mut last = None;
        for name in &absent.repositories {
            match self.bring_back_from(name, &absent.part).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(error = %error.chain(), %name, "a blob that was given up cannot be had here");
                    last = Some((name, error));
                }
            }
        }
        let digest = absent.part.blob.digest;
        let what = match &last {
            Some((name, _)) => format!("blob {digest} was given up, and {name} does not give it back"),
            None => format!("blob {digest} was given up, and nobody knows where it is"),
        };
        let error = Error::unavailable(what).with_hint(
            "pull the image from a registry that has it, or load it from an archive; containers of it run all the same",
        );
        Err(match last {
            Some((_, cause)) => error.caused_by(cause),
            None => error,
        })
    }

    async fn bring_back_from(&self, name: &Reference, part: &Part) -> Result<()> {
        let repository = Arc::new(self.repository_of(name)?);
        let missing = Present { blob: false, layer: true };
        let start = |states| layer::fetch(self.clone(), repository, part.clone(), missing, states);
        let job = self.remote().layers.join(part, start);
        job.watch(|_| {}).await?;
        let (images, digest) = (self.clone(), part.blob.digest);
        crate::blocking(move || {
            let _one_at_a_time = images.remote().committing.lock().unwrap_or_else(PoisonError::into_inner);
            let staged = job.take();
            images.store().commit_again(staged.blob.into_iter().collect(), staged.layer.into_iter().collect())?;
            // Whoever shared the download may have published it; if that one failed, it is lost.
            match images.store().content().has(&digest) {
                true => Ok(()),
                false => Err(Error::conflict(format!("blob {digest} was lost to another transfer"))),
            }
        })
        .await
    }

    /// As anybody may read it: nobody's credentials are kept.
    fn repository_of(&self, name: &Reference) -> Result<Repository> {
        self.remote().registry().repository(name.domain(), name.path(), &Credentials::default(), Access::Pull)
    }
}

/// Gives up what registries offer at the moment.
pub(in crate::image) struct Asking<'a> {
    images: Images,
    tell: &'a mut dyn FnMut(&Digest) -> bool,
    repositories: HashMap<Reference, Repository>,
    /// Registries that did not answer: they are not asked once per blob.
    silent: HashSet<String>,
}

impl Asking<'_> {
    fn offers(&mut self, blob: BlobInfo, name: &Reference) -> Result<bool> {
        if !self.repositories.contains_key(name) {
            self.repositories.insert(name.clone(), self.images.repository_of(name)?);
        }
        let asked = Handle::current().block_on(self.repositories[name].offers(&blob.digest));
        if asked.as_ref().is_err_and(|error| matches!(error.kind(), Kind::Unavailable | Kind::System)) {
            self.silent.insert(name.domain().to_owned());
        }
        Ok(asked? == Some(blob.size))
    }
}

impl GivingUp for Asking<'_> {
    fn goes_on(&mut self, blob: &Digest) -> bool {
        (self.tell)(blob)
    }

    fn offered(&mut self, blob: BlobInfo, repositories: &[Reference]) -> Vec<Reference> {
        let mut offered = Vec::new();
        for name in repositories {
            if self.silent.contains(name.domain()) {
                continue;
            }
            match self.offers(blob, name) {
                Ok(true) => offered.push(name.clone()),
                Ok(false) => {}
                Err(error) => {
                    tracing::info!(error = %error.chain(), %name, "a blob stays, for its registry does not offer it");
                }
            }
        }
        offered
    }
}
