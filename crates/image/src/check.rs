//! Check: everything that the store holds is looked at, what is wrong is named, and mended where that can be done from
//! what is here.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;
use std::sync::{Arc, PoisonError};

use wharf_storage::BlobInfo;
use wharf_types::{Digest, Result};

use crate::catalog::{Catalog, Entry};
use crate::{Collected, ImageStore};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// `index.json` was damaged when the engine started.
    Index,
    /// A blob is not what its digest says.
    DamagedBlob,
    /// A file among the blobs is none.
    Stray,
    /// An unpacked layer is not what its blob says.
    DamagedLayer,
    /// An image has a layer that is not unpacked.
    MissingLayer,
    /// An image cannot be used.
    BrokenImage,
    /// An image can be run, but not saved or pushed.
    IncompleteImage,
    /// Nothing refers to it.
    Orphan,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::DamagedBlob => "damaged blob",
            Self::Stray => "stray file",
            Self::DamagedLayer => "damaged layer",
            Self::MissingLayer => "missing layer",
            Self::BrokenImage => "broken image",
            Self::IncompleteImage => "incomplete image",
            Self::Orphan => "orphan",
        })
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub flaw: Flaw,
    /// What has it: a digest or a name.
    pub subject: String,
    /// A sentence about it.
    pub detail: String,
    /// What was done about it; `None` where nothing was or could be.
    pub repaired: Option<String>,
}

/// What a check tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// So many bytes of so many in blobs were read.
    Blobs(u64, u64),
    /// So many of so many layers were compared.
    Layers(u64, u64),
    /// Something is wrong.
    Found(Finding),
}

/// What a check has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Layers that were compared with their blob.
    pub layers: u64,
    /// Layers for which there is nothing to compare with.
    pub uncompared: u64,
    /// What is wrong, or was.
    pub found: u64,
    /// How much of that was mended.
    pub repaired: u64,
}

impl ImageStore {
    /// Reads every blob, unpacks every layer once more to compare it, and looks whether all images are complete.
    ///
    /// With `repair`, damaged blobs are deleted (a pull of the image fetches just these), layers are unpacked anew where
    /// their blob is whole, and what nothing refers to is collected. Layers for which `in_use` says yes are left alone:
    /// a container sees them. `tell` hears everything, as long as it says `true`.
    pub fn check(
        &self,
        repair: bool,
        in_use: &dyn Fn(&Digest) -> bool,
        tell: &mut dyn FnMut(Look) -> bool,
    ) -> Result<Checked> {
        let mut check = Check { store: self, repair, in_use, tell, done: Checked::default(), goes_on: true };
        check.index()?;
        check.blobs()?;
        check.layers()?;
        check.images()?;
        check.orphans()?;
        check.partials()?;
        Ok(check.done)
    }
}

struct Check<'a> {
    store: &'a ImageStore,
    repair: bool,
    in_use: &'a dyn Fn(&Digest) -> bool,
    tell: &'a mut dyn FnMut(Look) -> bool,
    done: Checked,
    /// Whether somebody still listens.
    goes_on: bool,
}

impl Check<'_> {
    fn found(&mut self, flaw: Flaw, subject: impl fmt::Display, detail: impl Into<String>, repaired: Option<String>) {
        self.done.found += 1;
        self.done.repaired += u64::from(repaired.is_some());
        let finding = Finding { flaw, subject: subject.to_string(), detail: detail.into(), repaired };
        self.say(Look::Found(finding));
    }

    fn say(&mut self, look: Look) {
        self.goes_on &= (self.tell)(look);
    }

    fn index(&mut self) -> Result<()> {
        let Some(problem) = self.store.index_problem() else { return Ok(()) };
        let repaired = match self.repair {
            true => {
                self.store.write_index()?;
                Some("a new one was written of the images that are there; the old one is index.json.damaged".to_owned())
            }
            false => None,
        };
        self.found(Flaw::Index, "index.json", problem, repaired);
        Ok(())
    }

    fn blobs(&mut self) -> Result<()> {
        for name in self.store.content.strays()? {
            self.found(Flaw::Stray, name, "it is among the blobs, but no digest is named so", None);
        }
        let mut blobs = self.store.content.list()?;
        blobs.sort_unstable_by_key(|blob| blob.digest);
        let total = blobs.iter().map(|blob| blob.size).sum();
        for blob in blobs {
            if !self.goes_on {
                break;
            }
            self.blob(blob)?;
            self.done.blobs += 1;
            self.done.bytes += blob.size;
            self.say(Look::Blobs(self.done.bytes, total));
        }
        Ok(())
    }

    fn blob(&mut self, blob: BlobInfo) -> Result<()> {
        let Err(problem) = self.store.content.verify(&blob.digest) else { return Ok(()) };
        if !self.store.content.has(&blob.digest) {
            return Ok(()); // it was removed meanwhile
        }
        let repaired = if self.repair {
            // What claims to be here and is not would keep a pull from fetching it.
            drop(self.store.take_blob(&blob.digest)?);
            let how = match (self.store.absent(&blob.digest), self.store.has_blob(&blob.digest)) {
                (Some(_), _) => "deleted; it is fetched again when it is needed",
                (None, true) => "deleted; it can be made anew from its layer",
                (None, false) => "deleted; a pull fetches it again",
            };
            Some(how.to_owned())
        } else {
            None
        };
        self.found(Flaw::DamagedBlob, blob.digest, problem.chain(), repaired);
        Ok(())
    }

    fn layers(&mut self) -> Result<()> {
        let sources = self.sources();
        let layers: Vec<Digest> = sources.keys().copied().collect();
        let total = layers.len() as u64;
        for (number, diff_id) in layers.iter().enumerate() {
            if !self.goes_on {
                break;
            }
            self.layer(diff_id, &sources[diff_id])?;
            self.say(Look::Layers(number as u64 + 1, total));
        }
        Ok(())
    }

    /// Every layer of an image, or that is here, with its blobs.
    fn sources(&self) -> BTreeMap<Digest, Vec<Digest>> {
        let mut sources: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        let catalog = self.store.catalog();
        for entry in &catalog.entries {
            let meant = catalog.meant(entry).into_iter();
            for (layer, diff_id) in
                meant.flat_map(|image| image.manifest.layers.iter().zip(&image.document.rootfs.diff_ids))
            {
                sources.entry(*diff_id).or_default().push(layer.digest);
            }
        }
        for (blob, diff_id) in catalog.layers().filter(|(_, diff_id)| self.store.layers.has(diff_id)) {
            sources.entry(diff_id).or_default().push(blob);
        }
        sources
    }

    fn layer(&mut self, diff_id: &Digest, blobs: &[Digest]) -> Result<()> {
        let _lease = self.store.lease_all(blobs.iter().chain([diff_id]).copied());
        let is_here = self.store.layers.has(diff_id);
        let (flaw, detail, fresh) = match self.open_source(diff_id, blobs) {
            None if is_here && self.store.layers.info(diff_id).is_ok() => {
                self.done.uncompared += 1;
                return Ok(());
            }
            None if is_here => (Flaw::DamagedLayer, "its description cannot be read".to_owned(), None),
            None => (Flaw::MissingLayer, "it is not unpacked, and its blob is not here".to_owned(), None),
            Some(stream) => match self.store.layers.verify(diff_id, stream) {
                Ok(verified) => match verified.difference {
                    None => {
                        self.done.layers += 1;
                        return Ok(());
                    }
                    Some(_) if !is_here => (Flaw::MissingLayer, "it is not unpacked".to_owned(), Some(verified.fresh)),
                    Some(difference) => (Flaw::DamagedLayer, difference, Some(verified.fresh)),
                },
                Err(error) => (Flaw::DamagedLayer, error.chain(), None),
            },
        };
        let is_busy = is_here && (self.in_use)(diff_id);
        let detail = match self.repair && is_here && fresh.is_none() && self.must_be_fetched(diff_id, blobs)? {
            true => format!("{detail}; pull its image again, and repair once more"),
            false => detail,
        };
        let repaired = match fresh.filter(|_| self.repair && !is_busy) {
            Some(fresh) => {
                self.store.put_layer(fresh)?;
                Some("unpacked anew".to_owned())
            }
            None => None,
        };
        let busy =
            if is_busy && self.repair { " (a running container has it; stop it to have it repaired)" } else { "" };
        self.found(flaw, diff_id, format!("{detail}{busy}"), repaired);
        Ok(())
    }

    /// Whether a layer can be mended only by a blob that was given up to a registry. It counts as missing from now on, so
    /// that a pull fetches it.
    fn must_be_fetched(&self, diff_id: &Digest, blobs: &[Digest]) -> Result<bool> {
        let mut found = false;
        for blob in blobs.iter().filter(|blob| self.store.absent(blob).is_some()) {
            self.store.layers.forget_note(diff_id, blob)?;
            found = true;
        }
        Ok(found)
    }

    /// The tar stream of a layer, from a whole blob of it or from what was noted when that was given up.
    fn open_source(&self, diff_id: &Digest, blobs: &[Digest]) -> Option<Box<dyn Read + Send>> {
        let whole = blobs.iter().find(|blob| self.store.content.has(blob) && self.store.content.verify(blob).is_ok());
        let from_blob = whole.and_then(|blob| self.store.content.reader(blob).ok());
        from_blob
            .map(|file| Box::new(file) as Box<dyn Read + Send>)
            .or_else(|| self.store.layers.rebuild_tar(diff_id).ok())
    }

    fn images(&mut self) -> Result<()> {
        let catalog = self.store.look_again()?;
        let mut seen: HashSet<(Digest, Option<Digest>)> = HashSet::new();
        for entry in catalog.entries.iter().filter(|entry| seen.insert((entry.target.digest, entry.chosen))) {
            let subject = name_of(&catalog, entry);
            if let Some(problem) = catalog.problem(entry) {
                let hint = "; pull it again, or remove it";
                self.found(Flaw::BrokenImage, subject, format!("{}{hint}", problem.chain()), None);
                continue;
            }
            let Some(content) = catalog.meant(entry) else { continue };
            let missing: Vec<String> =
                content.blobs().filter(|blob| !self.store.has_blob(blob)).map(|blob| blob.to_string()).collect();
            if !missing.is_empty() {
                let detail = format!(
                    "it can be run, but neither saved nor pushed, for {} is not here; pull it again",
                    missing.join(", ")
                );
                self.found(Flaw::IncompleteImage, subject, detail, None);
            }
        }
        Ok(())
    }

    fn orphans(&mut self) -> Result<()> {
        let orphans = self.store.orphans()?;
        if orphans == Collected::default() {
            return Ok(());
        }
        let repaired = match self.repair {
            true => {
                let gone = self.store.collect()?;
                (gone != Collected::default()).then(|| format!("{} bytes were removed", gone.bytes))
            }
            false => None,
        };
        let detail = format!("{} blobs and {} layers with {} bytes", orphans.blobs, orphans.layers, orphans.bytes);
        self.found(Flaw::Orphan, "content that no image refers to", detail, repaired);
        Ok(())
    }

    /// Downloads that may be continued are in order; only those are not that nobody will come back for.
    fn partials(&mut self) -> Result<()> {
        let stale = self.store.content.stale_partials(self.repair)?;
        if !stale.is_empty() {
            let bytes: u64 = stale.iter().map(|partial| partial.size).sum();
            let detail = format!("{} with {bytes} bytes, which nobody has come back for", stale.len());
            let repaired = self.repair.then(|| format!("{bytes} bytes were removed"));
            self.found(Flaw::Orphan, "unfinished downloads", detail, repaired);
        }
        Ok(())
    }
}

/// An image's names, or its manifest.
fn name_of(catalog: &Catalog, entry: &Entry) -> String {
    let same = catalog.entries.iter().filter(|other| other.is_of_same_image(entry));
    let names: Vec<String> = same.filter_map(|entry| Some(entry.name.as_ref()?.familiar())).collect();
    if names.is_empty() { entry.chosen.unwrap_or(entry.target.digest).to_string() } else { names.join(", ") }
}

impl ImageStore {
    /// Reads all documents anew, for something may have been damaged or healed since.
    fn look_again(&self) -> Result<Arc<Catalog>> {
        let _writer = self.lock_writer();
        let old = self.catalog();
        let anew = old.entries.iter().map(|entry| entry.target.digest).collect();
        let new = Arc::new(old.with(old.entries.clone(), &anew, &self.content, &self.layers));
        self.show(new.clone());
        Ok(new)
    }

    /// Takes a blob away that is no good.
    fn take_blob(&self, digest: &Digest) -> Result<Option<wharf_storage::Grave>> {
        let _collecting = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        self.content.take_out(digest)
    }

    fn put_layer(&self, fresh: wharf_storage::StagedLayer) -> Result<()> {
        let _collecting = self.spare_content();
        self.layers.replace(vec![fresh])
    }
}
