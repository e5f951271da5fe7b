//! Load: all images of an archive, docker-archive or OCI layout, become present at once or not at all.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use wharf_storage::tar::Limits;
use wharf_storage::{BlobInfo, Compression, Lease, StagedBlob, StagedLayer};
use wharf_types::{Digest, Error, Platform, Reference, Result, ResultExt};

use crate::archive::{Archive, parse};
use crate::catalog::Entry;
use crate::documents::{self, MAX_CONFIG, MAX_MANIFEST};
use crate::layout::{self, Artifact, Layout, Planned};
use crate::names::{drop_needless, set_name};
use crate::tree::check_layers;
use crate::{Descriptor, ImageDocument, ImageId, ImageStore, Manifest, media_type};

/// One image that a load brought in. Displays as Docker says it: `Loaded image: x` or `Loaded image ID: sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// A name.
    Name(Reference, ImageId),
    /// An image without a name.
    Id(ImageId),
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name, _) => write!(f, "Loaded image: {}", name.familiar()),
            Self::Id(id) => write!(f, "Loaded image ID: {id}"),
        }
    }
}

/// How far a load has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the plain archive read so far.
    Read(u64),
    /// A layer begins to unpack: its diff id, and the size of its blob in bytes.
    Unpacking(Digest, u64),
    /// A layer is complete.
    Unpacked(Digest),
    /// A layer was there before.
    Present(Digest),
}

/// One image in `manifest.json` of a docker-archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// A layer to unpack.
struct Job<'a> {
    blob: &'a StagedBlob,
    diff_id: Digest,
}

impl ImageStore {
    /// Brings in all images of a docker-archive or an OCI layout in a tar stream, plain or compressed: of a
    /// multi-platform image all that the archive has of it, or with `platform` only that, and artifacts as they are.
    /// Unpacked is the image for the platform, or the host's.
    ///
    /// `progress` is called from several threads.
    ///
    /// # Errors
    /// `InvalidParameter` when the stream is no such archive or a member is missing, `Corrupt` when a member is damaged;
    /// the sentence names the member, and nothing is left behind.
    pub fn load(
        &self,
        stream: impl Read + Send,
        platform: Option<&Platform>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Loaded>> {
        let archive = Archive::read(&self.content, stream, &|bytes| progress(Progress::Read(bytes)))?;
        let layout = archive.find("index.json").map(|_| Layout::read(&archive)).transpose()?;
        let images = if archive.find("manifest.json").is_some() {
            plan_docker(&archive, layout.as_ref(), platform)?
        } else if let Some(layout) = &layout {
            layout.plan(platform)?
        } else {
            let hint = "a tar of a root file system is brought in with import";
            let message = "the archive holds no images: it has neither manifest.json nor index.json";
            return Err(Error::invalid(message).with_hint(hint));
        };
        let mut lease = self.begin();
        let layers = self.unpack_all(&archive, &images, &mut lease, progress)?;
        let artifacts = layout.map_or_else(Vec::new, |layout| layout.artifacts());
        self.commit_images(archive, images, &artifacts, layers)
    }

    /// Unpacks the layers that are missing, several at a time.
    fn unpack_all(
        &self,
        archive: &Archive,
        images: &[Planned],
        lease: &mut Lease,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<StagedLayer>> {
        let mut seen = HashSet::new();
        let mut jobs = Vec::new();
        for image in images {
            for (layer, diff_id) in image.layers.iter().zip(&image.document.rootfs.diff_ids) {
                if !self.keep_blob_if_present(lease, &layer.digest) {
                    find_layer(archive, layer)?;
                }
                if !seen.insert(*diff_id) {
                    continue;
                }
                if self.keep_if_present(lease, diff_id) {
                    progress(Progress::Present(*diff_id));
                } else {
                    jobs.push(Job { blob: find_layer(archive, layer)?, diff_id: *diff_id });
                }
            }
        }
        self.run_jobs(jobs, progress)
    }

    fn run_jobs(&self, jobs: Vec<Job<'_>>, progress: &(dyn Fn(Progress) + Sync)) -> Result<Vec<StagedLayer>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = cores.min(jobs.len()).min(8);
        let queue = Mutex::new(jobs.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut done = Vec::new();
            while let Some(job) = next() {
                done.push(self.unpack_job(&job, progress).inspect_err(|_| while next().is_some() {})?);
            }
            Ok(done)
        };
        let results: Vec<Result<Vec<StagedLayer>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(Error::system("a thread that unpacked a layer died")))
            });
            std::iter::once(own).chain(others).collect()
        });
        Ok(results.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn unpack_job(&self, job: &Job<'_>, progress: &(dyn Fn(Progress) + Sync)) -> Result<StagedLayer> {
        progress(Progress::Unpacking(job.diff_id, job.blob.info().size));
        let layer = self.layers.unpack(job.blob.reader()?, Some(job.diff_id), &Limits::default());
        let layer = layer.with_context(|| format!("cannot unpack layer {}", job.blob.info().digest))?;
        progress(Progress::Unpacked(job.diff_id));
        Ok(layer)
    }

    fn commit_images(
        &self,
        archive: Archive,
        images: Vec<Planned>,
        artifacts: &[Artifact],
        layers: Vec<StagedLayer>,
    ) -> Result<Vec<Loaded>> {
        let mut wanted: HashSet<Digest> = artifacts.iter().flat_map(|artifact| &artifact.blobs).copied().collect();
        let mut new_manifests = Vec::new();
        for image in &images {
            wanted.extend([image.config, image.target.digest, image.manifest]);
            wanted.extend(image.layers.iter().map(|layer| layer.digest));
            wanted.extend(&image.blobs);
            if let Some(manifest) = &image.new_manifest {
                new_manifests.push(self.content.stage(manifest)?);
            }
        }
        let mut blobs = archive.into_blobs(&wanted);
        blobs.extend(new_manifests);
        self.commit_content(blobs, layers, |_, entries| {
            for image in &images {
                let entry = Entry::new(image.target.clone(), &image.manifest);
                image.names.iter().for_each(|name| set_name(entries, entry.clone(), name));
                entries.push(entry);
            }
            for artifact in artifacts {
                let entry = Entry::new(artifact.target.clone(), &artifact.target.digest);
                artifact.name.iter().for_each(|name| set_name(entries, entry.clone(), name));
                entries.push(entry);
            }
            drop_needless(entries);
            Ok(())
        })?;
        let loaded = images.into_iter().flat_map(|image| {
            let id = image.config;
            let is_nameless = image.names.is_empty();
            let names = image.names.into_iter().map(move |name| Loaded::Name(name, id));
            names.chain(is_nameless.then_some(Loaded::Id(id)))
        });
        Ok(loaded.collect())
    }
}

/// The blob of a layer: in a layout by its digest, in an old docker-archive wherever its image names it.
fn find_layer<'a>(archive: &'a Archive, layer: &Descriptor) -> Result<&'a StagedBlob> {
    match layer.annotations.get(MEMBER) {
        Some(member) => archive.member(member),
        None => archive.blob(&layer.digest),
    }
}

/// In memory only: the member of a docker-archive that is a layer.
const MEMBER: &str = "member";

fn plan_docker(archive: &Archive, layout: Option<&Layout>, platform: Option<&Platform>) -> Result<Vec<Planned>> {
    let images: Vec<DockerImage> = archive.json("manifest.json", MAX_MANIFEST)?;
    if images.is_empty() {
        return Err(Error::invalid("manifest.json of the archive names no image"));
    }
    let names: Vec<_> = images.iter().flat_map(|image| image.repo_tags.iter().flatten()).cloned().collect();
    let planned = images.into_iter().map(|image| plan_docker_image(archive, image, layout));
    let planned: Vec<Planned> = planned.collect::<Result<_>>()?;
    let Some(platform) = platform else { return Ok(planned) };
    let is_wanted = |image: &Planned| platform_of(&image.document).satisfies(platform);
    if planned.iter().any(is_wanted) {
        return Ok(planned.into_iter().filter(is_wanted).collect());
    }
    // Docker's document knows one platform of each image only.
    let mut others = layout.map_or_else(|| Ok(Vec::new()), |layout| layout.plan(Some(platform)))?;
    others.retain(|image| image.names.iter().any(|name| names.contains(&name.familiar())) || image.names.is_empty());
    match others.is_empty() {
        true => Err(Error::not_found(format!("the archive has no image for the platform {platform}"))),
        false => Ok(others),
    }
}

fn platform_of(document: &ImageDocument) -> Platform {
    let variant = Some(document.variant.clone()).filter(|variant| !variant.is_empty());
    Platform { os: document.os.clone(), architecture: document.architecture.clone(), variant }
}

fn plan_docker_image(archive: &Archive, image: DockerImage, layout: Option<&Layout>) -> Result<Planned> {
    let config = archive.member(&image.config)?.info();
    let document: ImageDocument = parse(&archive.bytes(&image.config, MAX_CONFIG)?, &image.config)?;
    let members = image.layers.unwrap_or_default();
    check_layers(members.len(), &document)?;
    let layers = members.iter().map(|name| describe_layer(archive, name)).collect::<Result<Vec<_>>>()?;
    let names = image.repo_tags.unwrap_or_default().iter().map(|name| read_name(name)).collect::<Result<Vec<_>>>()?;
    let same_layers = |manifest: &Manifest| {
        manifest.layers.iter().map(|layer| layer.digest).eq(layers.iter().map(|layer| layer.digest))
    };
    let known = layout.and_then(|layout| layout.by_config().remove(&config.digest));
    let (target, manifest, new_manifest, blobs) = match known.filter(|(.., image)| same_layers(&image.manifest)) {
        Some((line, tree, image)) => (layout::target(line, image), image.descriptor.digest, None, tree.blobs.clone()),
        None => {
            let (manifest, bytes) = new_manifest(config, &layers)?;
            (manifest.clone(), manifest.digest, Some(bytes), HashSet::new())
        }
    };
    Ok(Planned { target, manifest, new_manifest, config: config.digest, document, layers, names, blobs })
}

fn read_name(name: &str) -> Result<Reference> {
    let name: Result<Reference, _> = name.parse();
    name.map(Reference::or_latest)
        .map_err(|error| Error::invalid("manifest.json of the archive has a bad name").caused_by(error))
}

fn describe_layer(archive: &Archive, member: &str) -> Result<Descriptor> {
    let blob = archive.member(member)?;
    let (compression, _) = Compression::peek(blob.reader()?)?;
    let media_type = documents::layer_type(compression).ok_or_else(|| {
        Error::invalid(format!("member {member} of the archive is compressed in a way that images do not have"))
    })?;
    let mut layer = Descriptor::new(media_type, blob.info());
    layer.annotations.insert(MEMBER.to_owned(), member.to_owned());
    Ok(layer)
}

/// A docker-archive of old has no manifest; an OCI one is made, with the layers as they are.
fn new_manifest(config: BlobInfo, layers: &[Descriptor]) -> Result<(Descriptor, Vec<u8>)> {
    let layers = layers.iter().map(|layer| Descriptor { annotations: Default::default(), ..layer.clone() }).collect();
    let manifest = Manifest::new(Descriptor::new(media_type::OCI_CONFIG, config), layers);
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| Error::system("cannot write an image document").caused_by(error))?;
    let info = BlobInfo { digest: Digest::of(&bytes), size: bytes.len() as u64 };
    Ok((Descriptor::new(media_type::OCI_MANIFEST, info), bytes))
}
