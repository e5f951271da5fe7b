//! Pull: from a name to an image that is here, with everything it consists of.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use wharf_api::image::{Progress, ProgressDetail};
use wharf_image::{
    Descriptor, ImageId, ImageStore, Part, Present, Pulled, check_image, choose, config_limit, parts, read_remote,
};
use wharf_registry::client::{Access, Credentials, Document, Repository};
use wharf_storage::{Lease, StagedBlob, StagedLayer};
use wharf_types::{Digest, Error, Kind, Platform, Reference, Result, ResultExt};

use super::shared::{Job, State};
use super::{Report, layer};
use crate::image::Images;

/// How often the progress of one layer is told.
const PACE: Duration = Duration::from_millis(100);

/// What is pulled.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The name; all tags of the repository where it has neither tag nor digest.
    pub name: Reference,
    /// For which platform; the host's where absent.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Credentials,
}

/// An image of a registry as far as its documents say what it is.
struct Plan {
    target: Descriptor,
    manifest: Digest,
    documents: Vec<Vec<u8>>,
    parts: Vec<Part>,
}

impl Images {
    /// Pulls an image, or all of a repository. What is here is not fetched, and what another pull fetches is shared.
    ///
    /// Dropping the future stops the pull; what has arrived stays for the next one.
    pub async fn pull(&self, request: &PullRequest, report: &Report) -> Result<()> {
        let PullRequest { name, credentials, .. } = request;
        let repository = self.remote().registry().repository(name.domain(), name.path(), credentials, Access::Pull)?;
        let repository = Arc::new(repository);
        if name.tag().is_some() || name.digest().is_some() {
            return self.pull_one(&repository, name, request.platform.as_ref(), report).await;
        }
        let tags = repository.tags().await.map_err(|error| in_dockers_words(error, name))?;
        if tags.is_empty() {
            return Err(Error::not_found(format!("{} has no tags", name.familiar())));
        }
        for tag in &tags {
            let tagged = name.with_tag(tag);
            let tagged =
                tagged.map_err(|error| Error::invalid(format!("the registry has a tag {tag:?}")).caused_by(error))?;
            self.pull_one(&repository, &tagged, request.platform.as_ref(), report).await?;
        }
        Ok(())
    }

    async fn pull_one(
        &self,
        repository: &Arc<Repository>,
        name: &Reference,
        platform: Option<&Platform>,
        report: &Report,
    ) -> Result<()> {
        let words = |error| in_dockers_words(error, name);
        let asked = asked_for(name);
        let digest = match name.digest() {
            Some(digest) => Some(digest),
            None => repository.resolve(&asked).await.map_err(words)?.map(|resolved| resolved.digest),
        };
        if let Some(digest) = digest
            && let Some(image) = self.store().find_pulled(name, digest, platform)
        {
            let names = names_of(name, digest);
            let is_new = self.run(move |store| store.name_pulled(&image, &names)).await?;
            report(Progress::status(format!("Pulling from {}", name.path())).of(asked));
            finish(report, name, digest, is_new);
            self.tell("pull", &name.familiar(), &name.familiar_name());
            return Ok(());
        }
        let wanted = digest.map_or_else(|| asked.clone(), |digest| digest.to_string());
        let document = repository.manifest(&wanted).await.map_err(words)?;
        let plan = self.plan(repository, &document, name, platform).await?;
        report(Progress::status(format!("Pulling from {}", name.path())).of(asked));
        self.fetch(repository, name, document.digest, plan, report).await?;
        finish(report, name, document.digest, true);
        self.give_up_blobs_later();
        self.tell("pull", &name.familiar(), &name.familiar_name());
        Ok(())
    }

    /// Reads index, manifest and configuration.
    async fn plan(
        &self,
        repository: &Repository,
        top: &Document,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Plan> {
        let mut documents = vec![top.bytes.to_vec()];
        let (manifest, digest) = match read_remote(&top.bytes, &top.digest, &top.media_type)? {
            wharf_image::Remote::Manifest(manifest) => (manifest, top.digest),
            wharf_image::Remote::Index(mut index) => {
                // An index may lead to a further one, but not round in circles.
                let mut depth = 0;
                loop {
                    let member = choose(&index, platform)?.digest;
                    let document = repository.manifest(&member.to_string()).await;
                    let document = document.with_context(|| format!("{} names {member}", name.familiar()))?;
                    documents.push(document.bytes.to_vec());
                    match read_remote(&document.bytes, &member, &document.media_type)? {
                        wharf_image::Remote::Manifest(manifest) => break (manifest, member),
                        wharf_image::Remote::Index(_) if depth == 3 => {
                            return Err(Error::invalid("there are too many indexes within indexes"));
                        }
                        wharf_image::Remote::Index(next) => (index, depth) = (next, depth + 1),
                    }
                }
            }
        };
        check_image(&manifest).with_context(|| format!("cannot pull {}", name.familiar()))?;
        let limit = usize::try_from(config_limit()).unwrap_or(usize::MAX);
        let config = self.config(repository, &manifest.config.digest, limit).await?;
        let (image, parts) = parts(&manifest, &config)?;
        let is_for = Platform { os: image.os, architecture: image.architecture, variant: None };
        if let Some(wanted) = platform.filter(|wanted| !is_for.satisfies(wanted)) {
            return Err(Error::not_found(format!(
                "image with reference {} was found but does not match the specified platform: wanted {wanted}, actual: {is_for}",
                name.familiar()
            )));
        }
        documents.push(config);
        let target = Descriptor::new(
            &media_type(top),
            wharf_storage::BlobInfo { digest: top.digest, size: top.bytes.len() as u64 },
        );
        Ok(Plan { target, manifest: digest, documents, parts })
    }

    /// The configuration, from here if it is here.
    async fn config(&self, repository: &Repository, digest: &Digest, limit: usize) -> Result<Vec<u8>> {
        let id = *digest;
        if let Ok(bytes) = self.run(move |store| store.content().read(&id, config_limit())).await {
            return Ok(bytes);
        }
        Ok(repository.small_blob(digest, limit).await?.to_vec())
    }

    /// Fetches the layers, all at once within bounds, and makes the image present.
    async fn fetch(
        &self,
        repository: &Arc<Repository>,
        name: &Reference,
        digest: Digest,
        plan: Plan,
        report: &Report,
    ) -> Result<ImageId> {
        let wanted = plan.parts.clone();
        let (lease, present) = self.run(move |store| Ok(look(store, &wanted))).await?;
        let missing = || plan.parts.iter().zip(&present).filter(|(_, present)| !present.blob);
        let bytes: u64 = missing().map(|(part, _)| part.blob.size).sum();
        let total = json!({"io.wharf.pull": {"layers": missing().count(), "bytes": bytes}});
        report(Progress { aux: Some(total), ..Progress::default() });
        let mut jobs: Vec<(Part, Arc<Job>)> = Vec::new();
        for (part, present) in plan.parts.iter().zip(present) {
            let id = part.blob.digest.short();
            if present == (Present { blob: true, layer: true }) {
                report(without_detail("Already exists", id));
                continue;
            }
            if jobs.iter().any(|(known, _)| known.blob.digest == part.blob.digest) {
                continue;
            }
            report(without_detail("Pulling fs layer", id));
            let start = |states| layer::fetch(self.clone(), repository.clone(), part.clone(), present, states);
            jobs.push((part.clone(), self.remote().layers.join(part, start)));
        }
        let watching = jobs.iter().map(|(part, job)| show(part, job, report));
        futures_util::future::try_join_all(watching).await?;
        let names = names_of(name, digest);
        let images = self.clone();
        crate::blocking(move || {
            let _one_at_a_time = images.remote().committing.lock().unwrap_or_else(PoisonError::into_inner);
            let Plan { target, manifest, documents, parts } = plan;
            let (mut blobs, mut layers) = (Vec::new(), Vec::new());
            for (_, job) in &jobs {
                let staged = job.take();
                blobs.extend(staged.blob);
                layers.extend(staged.layer);
            }
            check_whole(images.store(), &parts, &blobs, &layers)?;
            let id = images.store().commit_pull(Pulled { target, manifest, names, documents, blobs, layers });
            drop((jobs, lease, parts));
            id
        })
        .await
    }
}

/// What this pull shared with another one may be gone with that one's failure.
fn check_whole(store: &ImageStore, parts: &[Part], blobs: &[StagedBlob], layers: &[StagedLayer]) -> Result<()> {
    let is_here = |part: &Part| {
        let has_blob = || blobs.iter().any(|blob| blob.info().digest == part.blob.digest);
        let has_layer = || layers.iter().any(|layer| layer.info().diff_id == part.diff_id);
        (has_blob() || store.has_blob(&part.blob.digest)) && (has_layer() || store.layers().has(&part.diff_id))
    };
    match parts.iter().find(|part| !is_here(part)) {
        None => Ok(()),
        Some(part) => Err(Error::conflict(format!("layer {} was lost to another pull", part.blob.digest.short()))
            .with_hint("pull again: what has arrived is kept")),
    }
}

fn look(store: &ImageStore, parts: &[Part]) -> (Lease, Vec<Present>) {
    let mut lease = store.begin();
    let present = parts.iter().map(|part| store.keep_part(&mut lease, part)).collect();
    (lease, present)
}

/// The tag or digest, as it stands in a registry's address.
fn asked_for(name: &Reference) -> String {
    match name.digest() {
        Some(digest) => digest.to_string(),
        None => name.tag().unwrap_or(wharf_types::DEFAULT_TAG).to_owned(),
    }
}

/// The names that a pulled image gets: what was asked for, and its digest.
fn names_of(name: &Reference, digest: Digest) -> Vec<Reference> {
    let by_digest = name.with_digest(digest);
    match name.digest() {
        Some(_) => vec![by_digest],
        None => vec![name.clone(), by_digest],
    }
}

/// What a document says it is counts more than what the registry says.
fn media_type(document: &Document) -> String {
    let own = serde_json::from_slice::<serde_json::Value>(&document.bytes).ok();
    let own = own.and_then(|value| value.get("mediaType")?.as_str().map(str::to_owned));
    own.unwrap_or_else(|| document.media_type.clone())
}

/// Clients tell a line of progress by the detail, even an empty one.
fn without_detail(status: &str, id: String) -> Progress {
    Progress { progress_detail: Some(ProgressDetail::default()), ..Progress::status(status).of(id) }
}

fn finish(report: &Report, name: &Reference, digest: Digest, is_new: bool) {
    report(Progress::status(format!("Digest: {digest}")));
    let what = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    report(Progress::status(format!("Status: {what} {}", name.familiar())));
}

/// Tells how far a layer is, in Docker's words and not too often.
async fn show(part: &Part, job: &Job, report: &Report) -> Result<()> {
    let id = part.blob.digest.short();
    let size = part.blob.size;
    let mut last: Option<(&str, Instant)> = None;
    let tell = |state: &State| {
        let (status, at) = match state {
            State { begun: false, .. } => ("Waiting", None),
            State { verified: false, downloaded, .. } if *downloaded == size => ("Verifying Checksum", None),
            State { verified: false, downloaded, .. } => ("Downloading", Some(*downloaded)),
            State { ended: None, unpacked, .. } => ("Extracting", Some(*unpacked)),
            State { ended: Some(Err(_)), .. } => return,
            State { ended: Some(Ok(())), .. } => ("Pull complete", None),
        };
        let was_downloading = last.is_some_and(|(status, _)| matches!(status, "Downloading" | "Verifying Checksum"));
        if was_downloading && matches!(status, "Extracting" | "Pull complete") {
            report(without_detail("Download complete", id.clone()));
        }
        if last.is_some_and(|(told, when)| told == status && (at.is_none() || when.elapsed() < PACE)) {
            return;
        }
        last = Some((status, Instant::now()));
        report(match at {
            Some(at) => Progress::status(status).of(id.clone()).at(at, size),
            None => without_detail(status, id.clone()),
        });
    };
    job.watch(tell).await
}

/// What scripts look for when an image is not to be had.
pub(super) fn in_dockers_words(error: Error, name: &Reference) -> Error {
    let familiar = name.familiar_name();
    match error.kind() {
        Kind::NotFound => Error::not_found(format!("manifest for {} not found: {error}", name.familiar()))
            .with_hint("check how the name and the tag are written"),
        Kind::Unauthorized | Kind::Forbidden => {
            let login = match name.domain() {
                wharf_types::DEFAULT_DOMAIN => "wharf login".to_owned(),
                domain => format!("wharf login {domain}"),
            };
            Error::not_found(format!(
                "pull access denied for {familiar}, repository does not exist or may require 'docker login'"
            ))
            .with_hint(format!("check the name, or log in with '{login}'"))
            .caused_by(error)
        }
        _ => error,
    }
}
