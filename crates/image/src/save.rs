//! Save: images as one tar stream that is a docker-archive and an OCI layout at the same time, as Docker 25 writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use serde::Serialize;
use wharf_storage::tar::{Entry, EntryKind, Writer};
use wharf_types::{Digest, Error, Reference, Result, ResultExt};

use crate::archive::BLOBS;
use crate::catalog::{Content, NAME, REF_NAME};
use crate::names::{find, is_id};
use crate::{Descriptor, Image, ImageId, ImageStore, Index};

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
    image: Arc<Image>,
    content: Arc<Content>,
    names: BTreeSet<Reference>,
}

impl ImageStore {
    /// Writes images, found as by [`ImageStore::resolve`], as a tar stream. A name brings along that name, an id none,
    /// and a repository without a tag its tag `latest`.
    pub fn save(&self, names: &[&str], out: impl Write) -> Result<()> {
        let images = self.choose(names)?;
        let _leases: Vec<_> = images.values().map(|saved| self.lease_blobs(&saved.content, &saved.image)).collect();
        let mut writer = Writer::new(out);
        let mut write = || -> Result<()> {
            folder(&mut writer, "blobs/")?;
            folder(&mut writer, BLOBS)?;
            for digest in blobs(&images) {
                let blob = self.content.reader(&digest)?;
                file(&mut writer, &format!("{BLOBS}{}", digest.hex()), self.content.size(&digest)?, blob)?;
            }
            small_file(&mut writer, "index.json", &index(&images))?;
            small_file(&mut writer, "manifest.json", &docker_manifest(&images))?;
            file(&mut writer, "oci-layout", LAYOUT.len() as u64, LAYOUT)
        };
        write()?;
        writer.finish().map(drop).context("cannot write the archive")
    }

    fn choose(&self, names: &[&str]) -> Result<BTreeMap<ImageId, Saved>> {
        let catalog = self.catalog();
        let mut images: BTreeMap<ImageId, Saved> = BTreeMap::new();
        for name in names {
            let image = find(&catalog, name)?;
            let content = catalog.content(&image.manifest.digest);
            let content = content.ok_or_else(|| Error::corrupt(format!("the manifest of {name} is missing")))?;
            let saved = || Saved { image: image.clone(), content: content.clone(), names: BTreeSet::new() };
            let saved = images.entry(image.id).or_insert_with(saved);
            let tag = name.parse::<Reference>().ok().map(Reference::or_latest).filter(|name| name.digest().is_none());
            if let Some(tag) = tag.filter(|_| !is_id(&catalog, name)) {
                saved.names.insert(tag);
            }
        }
        Ok(images)
    }
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Every blob once, in the order of the digests, so that the same images make the same archive.
fn blobs(images: &BTreeMap<ImageId, Saved>) -> BTreeSet<Digest> {
    let of = |saved: &Saved| {
        let layers = saved.content.manifest.layers.iter().map(|layer| layer.digest);
        layers.chain([saved.content.id, saved.image.manifest.digest]).collect::<Vec<_>>()
    };
    images.values().flat_map(of).collect()
}

fn index(images: &BTreeMap<ImageId, Saved>) -> Index {
    let mut lines = Vec::new();
    for saved in images.values() {
        let line = |name: Option<&Reference>| {
            let mut line = Descriptor { annotations: BTreeMap::new(), ..saved.image.manifest.clone() };
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
    Index::of(lines)
}

fn docker_manifest(images: &BTreeMap<ImageId, Saved>) -> Vec<DockerImage> {
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
