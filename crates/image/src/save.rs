//! Save: images as one tar stream that is a docker-archive and an OCI layout at the same time, as Docker 25 writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use serde::Serialize;
use wharf_storage::Lease;
use wharf_storage::tar::{Entry, EntryKind, Writer};
use wharf_types::{Digest, Error, Platform, Reference, Result, ResultExt};

use crate::archive::BLOBS;
use crate::catalog::{Catalog, NAME, REF_NAME};
use crate::names::{find, is_id};
use crate::tree::{Content, Tree};
use crate::variants::member_for;
use crate::{Absent, Descriptor, Image, ImageId, ImageStore, Index};

/// One image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// What is saved of one image.
struct Saved {
    /// What the names mean in the archive: the whole index, or one manifest.
    target: Descriptor,
    content: Arc<Content>,
    names: BTreeSet<Reference>,
    blobs: BTreeSet<Digest>,
}

impl ImageStore {
    /// Writes images, found as by [`ImageStore::resolve`], as a tar stream. A name brings along that name, an id none,
    /// and a repository without a tag its tag `latest`. Of a multi-platform image all that is here is written, or with
    /// `platform` only that; artifacts about what is written come along.
    ///
    /// # Errors
    /// `NotFound` for an image that is not here, or not for that platform; `Corrupt` when something of it is missing.
    pub fn save(&self, names: &[&str], platform: Option<&Platform>, out: impl Write) -> Result<()> {
        let catalog = self.catalog();
        let images = choose(&catalog, names, platform)?;
        let referrers = referrers(&catalog, &images);
        let _lease = self.lease_saved(&images, &referrers);
        let wanted = || {
            let own = images.values().flat_map(|saved| saved.blobs.iter().copied());
            own.chain(referrers.iter().flat_map(|(_, tree)| tree.blobs.iter().copied()))
        };
        // Every blob once, in the order of the digests, so that the same images make the same archive.
        let needed: BTreeSet<Digest> = images.values().flat_map(|saved| saved.content.blobs()).collect();
        let blobs: BTreeSet<Digest> = wanted().filter(|blob| needed.contains(blob) || self.has_blob(blob)).collect();
        let mut writer = Writer::new(out);
        let mut write = || -> Result<()> {
            folder(&mut writer, "blobs/")?;
            folder(&mut writer, BLOBS)?;
            for digest in &blobs {
                let (size, blob) = self.open_blob(digest)?;
                file(&mut writer, &format!("{BLOBS}{}", digest.hex()), size, blob)?;
            }
            small_file(&mut writer, "index.json", &index(&images, &referrers))?;
            small_file(&mut writer, "manifest.json", &docker_manifest(&images))?;
            file(&mut writer, "oci-layout", LAYOUT.len() as u64, LAYOUT)
        };
        write()?;
        writer.finish().map(drop).context("cannot write the archive")
    }

    /// What a [`ImageStore::save`] of the same images needs and has to be fetched first. As long as the lease lives, no
    /// more is given up.
    pub fn absent_in(&self, names: &[&str], platform: Option<&Platform>) -> Result<(Lease, Vec<Absent>)> {
        let catalog = self.catalog();
        let images = choose(&catalog, names, platform)?;
        let lease = self.lease_saved(&images, &referrers(&catalog, &images));
        let blobs: BTreeSet<Digest> = images.values().flat_map(|saved| saved.blobs.iter().copied()).collect();
        Ok((lease, blobs.iter().filter_map(|blob| self.absent(blob)).collect()))
    }

    fn lease_saved(&self, images: &Chosen, referrers: &[(&Descriptor, &Arc<Tree>)]) -> Lease {
        let own = images.values().flat_map(|saved| saved.blobs.iter().copied());
        let about = referrers.iter().flat_map(|(_, tree)| tree.blobs.iter().copied());
        let layers = images.values().flat_map(|saved| saved.content.document.rootfs.diff_ids.iter().copied());
        self.lease_all(own.chain(about).chain(layers))
    }
}

type Chosen = BTreeMap<ImageId, Saved>;

fn choose(catalog: &Catalog, names: &[&str], platform: Option<&Platform>) -> Result<Chosen> {
    let mut images = Chosen::new();
    for name in names {
        let image = find(catalog, name)?;
        let saved = saved(catalog, image, name, platform)?;
        let saved = images.entry(saved.content.id).or_insert(saved);
        let tag = name.parse::<Reference>().ok().map(Reference::or_latest).filter(|name| name.digest().is_none());
        if let Some(tag) = tag.filter(|_| !is_id(catalog, name)) {
            saved.names.insert(tag);
        }
    }
    Ok(images)
}

fn saved(catalog: &Catalog, image: &Image, name: &str, platform: Option<&Platform>) -> Result<Saved> {
    let lost = || Error::corrupt(format!("the manifest of {name} is missing"));
    let entry =
        catalog.entries_of(image.id).find(|entry| entry.target.digest == image.target.digest).ok_or_else(lost)?;
    let tree = catalog.tree(entry).ok_or_else(lost)?;
    let Some(platform) = platform else {
        let content = catalog.content_of(entry).ok_or_else(lost)?.clone();
        let blobs = tree.blobs.iter().copied().collect();
        return Ok(Saved { target: image.target.clone(), content, names: BTreeSet::new(), blobs });
    };
    let content = member_for(catalog, image, name, platform)?.clone();
    let blobs = content.blobs().collect();
    Ok(Saved { target: content.descriptor.clone(), content, names: BTreeSet::new(), blobs })
}

/// Artifacts about what is saved, and what is about those.
fn referrers<'a>(catalog: &'a Catalog, images: &Chosen) -> Vec<(&'a Descriptor, &'a Arc<Tree>)> {
    let mut subjects: BTreeSet<Digest> =
        images.values().flat_map(|saved| [saved.target.digest, saved.content.descriptor.digest]).collect();
    let mut found: Vec<(&Descriptor, &Arc<Tree>)> = Vec::new();
    loop {
        let about = |tree: &Tree| tree.is_artifact() && tree.subject.is_some_and(|subject| subjects.contains(&subject));
        let lines = catalog.entries.iter().filter_map(|entry| Some((&entry.target, catalog.tree(entry)?)));
        let new: Vec<_> = lines.filter(|(target, tree)| about(tree) && !subjects.contains(&target.digest)).collect();
        if new.is_empty() {
            return found;
        }
        subjects.extend(new.iter().map(|(target, _)| target.digest));
        found.extend(new);
    }
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

fn index(images: &Chosen, referrers: &[(&Descriptor, &Arc<Tree>)]) -> Index {
    let mut lines = Vec::new();
    for saved in images.values() {
        let line = |name: Option<&Reference>| {
            let mut line = Descriptor { annotations: BTreeMap::new(), ..saved.target.clone() };
            if let Some(name) = name {
                line.annotations.insert(NAME.to_owned(), name.to_string());
                line.annotations.insert(REF_NAME.to_owned(), name.familiar());
            }
            line
        };
        lines.extend(saved.names.iter().map(|name| line(Some(name))));
        if saved.names.is_empty() {
            lines.push(line(None));
        }
    }
    lines.extend(referrers.iter().map(|(target, _)| (*target).clone()));
    Index::of(lines)
}

fn docker_manifest(images: &Chosen) -> Vec<DockerImage> {
    let path = |digest: &Digest| format!("{BLOBS}{}", digest.hex());
    let image = |saved: &Saved| DockerImage {
        config: path(&saved.content.id),
        repo_tags: (!saved.names.is_empty()).then(|| saved.names.iter().map(Reference::familiar).collect()),
        layers: saved.content.manifest.layers.iter().map(|layer| path(&layer.digest)).collect(),
    };
    images.values().map(image).collect()
}

fn small_file<W: Write>(writer: &mut Writer<W>, name: &str, document: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(document)
        .map_err(|error| Error::system("cannot write an image document").caused_by(error))?;
    file(writer, name, bytes.len() as u64, &bytes[..])
}

fn file<W: Write>(writer: &mut Writer<W>, name: &str, size: u64, data: impl Read) -> Result<()> {
    let entry = Entry { size, mode: 0o644, ..Entry::new(name, EntryKind::File) };
    writer.append_file(&entry, data).with_context(|| format!("cannot write {name} to the archive"))
}

fn folder<W: Write>(writer: &mut Writer<W>, name: &str) -> Result<()> {
    let entry = Entry { mode: 0o755, ..Entry::new(name, EntryKind::Directory) };
    writer.append(&entry).with_context(|| format!("cannot write {name} to the archive"))
}
