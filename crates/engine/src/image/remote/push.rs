//! Push: an image's own bytes into a registry, as far as it does not have them.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_api::image::{Progress, ProgressDetail};
use wharf_image::{PushBlob, PushPlan};
use wharf_registry::client::{Access, Credentials, Repository, Source, Start};
use wharf_types::{Digest, Error, Kind, Platform, Reference, Result, ResultExt};

use super::Report;
use crate::image::Images;

/// How often the progress of one layer is told.
const PACE: Duration = Duration::from_millis(100);

/// What is pushed.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The name; all tags of the repository where it has none.
    pub name: Reference,
    /// Only the image for this platform.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

impl Images {
    /// Pushes an image, or all of a repository that are here.
    pub async fn push(&self, request: &PushRequest, report: &Report) -> Result<()> {
        let PushRequest { name, credentials, .. } = request;
        let names = match name.tag() {
            Some(_) => vec![name.clone()],
            None => self.tags_of(name),
        };
        if names.is_empty() {
            let what = format!("An image does not exist locally with the tag: {}", name.familiar_name());
            return Err(Error::not_found(what).with_hint("'wharf tag' gives an image another name"));
        }
        let repository = self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Push)?;
        report(Progress::status(format!("The push refers to repository [{}/{}]", name.domain(), name.path())));
        for name in names {
            let pushed = self.push_one(&repository, &name, request.platform.as_ref(), report).await;
            pushed.map_err(|error| in_dockers_words(error, &name))?;
        }
        Ok(())
    }

    fn tags_of(&self, name: &Reference) -> Vec<Reference> {
        let is_same = |tag: &Reference| (tag.domain(), tag.path()) == (name.domain(), name.path());
        let images = self.store().list();
        let mut tags: Vec<Reference> =
            images.iter().flat_map(|image| &image.tags).filter(|tag| is_same(tag)).cloned().collect();
        tags.sort();
        tags
    }

    async fn push_one(
        &self,
        repository: &Repository,
        name: &Reference,
        platform: Option<&Platform>,
        report: &Report,
    ) -> Result<()> {
        let (wanted, platform) = (name.clone(), platform.cloned());
        let plan = self.run(move |store| store.plan_push(&wanted, platform.as_ref())).await?;
        for blob in plan.blobs.iter().filter(|blob| blob.diff_id.is_some()) {
            report(without_detail("Preparing", label(blob)));
        }
        let uploads = plan.blobs.iter().map(|blob| self.push_blob(repository, blob, report));
        futures_util::future::try_join_all(uploads).await?;
        self.put_documents(repository, name, &plan, report).await
    }

    /// A blob comes into the registry in the cheapest way: it has it, it takes it from a neighbour, it gets it.
    async fn push_blob(&self, repository: &Repository, blob: &PushBlob, report: &Report) -> Result<()> {
        let _permit = self.remote().uploads.acquire().await.map_err(|_| Error::unavailable("the engine ends"))?;
        let tell = |status: &str| {
            if blob.diff_id.is_some() {
                report(without_detail(status, label(blob)));
            }
        };
        if repository.blob_size(&blob.digest).await?.is_some() {
            tell("Layer already exists");
            return Ok(());
        }
        let mount = blob.elsewhere.as_deref().map(|from| (&blob.digest, from));
        let location = match repository.start_upload(mount).await {
            Ok(Start::Mounted) => {
                tell(&format!("Mounted from {}", blob.elsewhere.as_deref().unwrap_or_default()));
                return Ok(());
            }
            Ok(Start::At(url)) => Some(url),
            // The neighbour may be one that this person may not read.
            Err(error) if mount.is_some() && matches!(error.kind(), Kind::Unauthorized | Kind::Forbidden) => None,
            Err(error) => return Err(error),
        };
        // What was given up is fetched back only now, when no registry spares it.
        let digest = blob.digest;
        let absent = self.run(move |store| Ok(store.absent(&digest))).await?;
        let _kept = self.bring_back(absent.into_iter().collect()).await?;
        let source: Arc<dyn Source> = Arc::new(Stored { images: self.clone(), digest: blob.digest });
        let last = Mutex::new(None::<Instant>);
        let told = |sent: u64| {
            let Ok(mut last) = last.lock() else { return };
            if blob.diff_id.is_some() && last.is_none_or(|when| when.elapsed() >= PACE) {
                *last = Some(Instant::now());
                report(Progress::status("Pushing").of(label(blob)).at(sent, blob.size));
            }
        };
        repository.upload(blob.digest, blob.size, location, &source, &told).await?;
        tell("Pushed");
        Ok(())
    }

    /// Manifests by digest, and what the name means as the last one and by the name.
    async fn put_documents(
        &self,
        repository: &Repository,
        name: &Reference,
        plan: &PushPlan,
        report: &Report,
    ) -> Result<()> {
        let Some((top, members)) = plan.documents.split_last() else { return Ok(()) };
        for member in members {
            repository
                .put_manifest(&member.digest.to_string(), &member.media_type, member.bytes.clone().into())
                .await?;
        }
        let tag = name.tag().map_or_else(|| top.digest.to_string(), str::to_owned);
        repository.put_manifest(&tag, &top.media_type, top.bytes.clone().into()).await?;
        let (id, named) = (plan.id, name.with_digest(top.digest));
        self.run(move |store| match store.get(&id) {
            Some(image) => store.name_pulled(&image, &[named]).map(drop),
            None => Ok(()), // removed meanwhile
        })
        .await?;
        let (digest, size) = (top.digest.to_string(), top.bytes.len());
        report(Progress::status(format!("{tag}: digest: {digest} size: {size}")));
        let result = json!({"Tag": tag, "Digest": digest, "Size": size});
        report(Progress { progress_detail: Some(ProgressDetail::default()), aux: Some(result), ..Progress::default() });
        self.tell("push", &name.familiar(), &name.familiar_name());
        Ok(())
    }
}

/// People know a layer by its plain content.
fn label(blob: &PushBlob) -> String {
    blob.diff_id.unwrap_or(blob.digest).short()
}

fn without_detail(status: &str, id: String) -> Progress {
    Progress { progress_detail: Some(ProgressDetail::default()), ..Progress::status(status).of(id) }
}

/// A blob of the content store.
struct Stored {
    images: Images,
    digest: Digest,
}

impl Source for Stored {
    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>> {
        if let Ok(mut file) = self.images.store().content().reader(&self.digest) {
            file.seek(SeekFrom::Start(at))?;
            return Ok(Box::new(file));
        }
        // It was given up, and is made anew from the layer's files.
        let (_, mut blob) = self.images.store().open_blob(&self.digest).map_err(io::Error::other)?;
        io::copy(&mut (&mut blob).take(at), &mut io::sink())?;
        Ok(blob)
    }
}

fn in_dockers_words(error: Error, name: &Reference) -> Error {
    match error.kind() {
        Kind::Unauthorized | Kind::Forbidden => {
            let hint = error.hint().map(str::to_owned);
            let words = Err::<(), _>(error).context("denied: requested access to the resource is denied");
            let error = words.err().unwrap_or_else(|| Error::forbidden("denied"));
            error.with_hint(hint.unwrap_or_else(|| format!("log in to {} first", name.domain())))
        }
        _ => error,
    }
}
