//! Removing images, with Docker's rules and words.

use std::collections::HashSet;
use std::sync::PoisonError;

use wharf_types::{Digest, Error, Id, Platform, Reference, Result};

use crate::catalog::{Catalog, Entry, Referenced, take_images};
use crate::names::{drop_name, find, is_id};
use crate::tree::Content;
use crate::variants::member_for;
use crate::{Image, ImageId, ImageStore};

/// How a container uses an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// The container.
    pub container: Id,
    /// Whether it runs at the moment.
    pub running: bool,
}

/// How to remove an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoveOptions {
    /// Also when it has several names, or stopped containers use it.
    pub force: bool,
    /// Keep untagged parents (`--no-prune`).
    pub keep_parents: bool,
}

/// One line of the answer to a removal, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// `Untagged: debian:bookworm`.
    Untagged(Reference),
    /// `Deleted: sha256:…`: the image's id, then the chain ids of the layers that went with it.
    Deleted(ImageId),
}

/// Which containers use an image.
pub(crate) type Usage<'a> = &'a dyn Fn(&ImageId) -> Vec<InUse>;

impl ImageStore {
    /// Removes a name or an image, and what nothing refers to any more.
    ///
    /// By a name, only that name goes while the image has others; by an id, all names go if they are of one
    /// repository. `usage` lists the containers of an image; it is called with the store's own locks held, so it must
    /// not call back.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` in Docker's words when the image is in use or has several names.
    pub fn remove(&self, name: &str, options: RemoveOptions, usage: Usage<'_>) -> Result<Vec<Removed>> {
        let writer = self.lock_writer();
        let mut removal = Removal { store: self, writer, options, usage, removed: Vec::new() };
        removal.run(name)?;
        Ok(removal.removed)
    }
}

impl ImageStore {
    /// Removes of an image for several platforms those that are named; with the last one the image goes as by
    /// [`ImageStore::remove`].
    ///
    /// # Errors
    /// `NotFound` for a platform that is not here, `Conflict` where a container uses the image for it, or another name
    /// means it on its own.
    pub fn remove_platforms(
        &self,
        name: &str,
        platforms: &[Platform],
        options: RemoveOptions,
        usage: Usage<'_>,
    ) -> Result<Vec<Removed>> {
        let writer = self.lock_writer();
        let mut removal = Removal { store: self, writer, options, usage, removed: Vec::new() };
        for platform in platforms {
            removal.run_platform(name, platform)?;
        }
        Ok(removal.removed)
    }
}

/// One removal; the store's writer lock is held from the first look to the last change.
struct Removal<'a> {
    store: &'a ImageStore,
    writer: std::sync::MutexGuard<'a, ()>,
    options: RemoveOptions,
    usage: Usage<'a>,
    removed: Vec<Removed>,
}

impl Removal<'_> {
    fn run(&mut self, name: &str) -> Result<()> {
        let catalog = self.store.catalog();
        let image = match find(&catalog, name) {
            Err(error) => return self.forget_broken(&catalog, name).unwrap_or(Err(error)),
            Ok(image) => image.clone(),
        };
        if is_id(&catalog, name) {
            if is_single(&image) {
                self.check(&catalog, &image, self.options.force, false)?;
                self.untag_all(&image)?;
            }
            return self.delete(&image, self.options.force, false);
        }
        self.check_name(name, &image)?;
        let name = name.parse::<Reference>().map_err(|error| Error::invalid(error.to_string()))?.or_latest();
        let left = self.untag_named(&name, &image)?;
        if left.tags.is_empty() && left.digests.is_empty() {
            self.delete(&left, self.options.force, true)
        } else {
            Ok(())
        }
    }

    fn run_platform(&mut self, name: &str, platform: &Platform) -> Result<()> {
        let catalog = self.store.catalog();
        let image = find(&catalog, name)?.clone();
        let content = member_for(&catalog, &image, name, platform)?.clone();
        let manifest = content.descriptor.digest;
        let of_target = |entry: &&Entry| entry.target.digest == image.target.digest;
        let others = catalog.entries.iter().find(of_target).and_then(|entry| catalog.tree(entry));
        if others.is_none_or(|tree| tree.images.iter().all(|other| other.descriptor.digest == manifest)) {
            return self.run(name);
        }
        self.check_unused(&content.id)?;
        let elsewhere = catalog.entries.iter().filter(|entry| entry.target.digest != image.target.digest);
        let holds = |entry: &&Entry| catalog.tree(entry).is_some_and(|tree| tree.blobs.contains(&manifest));
        if let Some(other) = elsewhere.into_iter().find(holds) {
            let other = other.name.as_ref().map_or_else(|| other.target.digest.to_string(), Reference::familiar);
            return Err(Error::conflict(format!(
                "conflict: unable to delete {} (cannot be forced) - {other} is the same image",
                content.id.short()
            )));
        }
        self.drop_member(&content)
    }

    /// Deletes a manifest that an index names, so that the index is known as one of which not all is here.
    fn drop_member(&mut self, content: &Content) -> Result<()> {
        let manifest = content.descriptor.digest;
        let collecting = self.store.collecting.write().unwrap_or_else(PoisonError::into_inner);
        let grave = self.store.content.take_out(&manifest)?;
        drop(collecting);
        drop(grave);
        self.store.change_members(&self.writer, manifest, |_, entries| {
            entries.iter_mut().filter(|entry| entry.chosen == Some(manifest)).for_each(|entry| entry.chosen = None);
            Ok(())
        })?;
        self.removed.push(Removed::Deleted(manifest));
        let mut garbage = Referenced::default();
        garbage.blobs.extend(content.blobs());
        garbage.layers.extend(&content.document.rootfs.diff_ids);
        self.store.sweep(&garbage, &self.store.catalog()).map(drop)
    }

    fn check_unused(&self, id: &ImageId) -> Result<()> {
        let users = (self.usage)(id);
        let conflict = |how: &str, what: &str, user: &InUse| {
            let (id, container) = (id.short(), user.container.short());
            let text = format!(
                "conflict: unable to delete {id} ({how}) - image is being used by {what} container {container}"
            );
            Err(Error::conflict(text))
        };
        match (users.iter().find(|user| user.running), users.first()) {
            (Some(user), _) => conflict("cannot be forced", "running", user),
            (None, Some(user)) if !self.options.force => conflict("must be forced", "stopped", user),
            _ => Ok(()),
        }
    }

    /// The name of an image that cannot be read goes without further questions; `None` when it is no such name.
    fn forget_broken(&mut self, catalog: &Catalog, name: &str) -> Option<Result<()>> {
        let name = name.parse::<Reference>().ok()?.or_latest();
        let is_it = |entry: &Entry| entry.name.as_ref() == Some(&name) && catalog.id_of(entry).is_none();
        catalog.entries.iter().find(|entry| is_it(entry))?;
        let changed = self.store.change_while_locked(&self.writer, |_, entries| {
            entries.retain(|entry| !is_it(entry));
            Ok(())
        });
        self.removed.push(Removed::Untagged(name.clone()));
        Some(changed)
    }

    /// The last name of an image in use goes only by force.
    fn check_name(&self, name: &str, image: &Image) -> Result<()> {
        let user =
            if self.options.force || !is_single(image) { None } else { (self.usage)(&image.id).first().copied() };
        let Some(user) = user else { return Ok(()) };
        let (container, id) = (user.container.short(), image.id.short());
        Err(Error::conflict(format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
             referenced image {id}"
        ))
        .with_hint(format!("remove the container first, or add --force: wharf rm {container}")))
    }

    /// Takes a name away, with the digests of the same repository if it was the last tag there.
    fn untag_named(&mut self, name: &Reference, image: &Image) -> Result<Image> {
        let repository = |other: &Reference| (other.domain(), other.path()) == (name.domain(), name.path());
        let exact = image.tags.iter().chain(&image.digests).find(|known| *known == name);
        // A digest may have been given for a name that is known by its tag.
        let Some(first) = exact.or_else(|| image.tags.iter().find(|tag| repository(tag))).cloned() else {
            return Ok(image.clone());
        };
        let is_last = !image.tags.iter().any(|tag| *tag != first && repository(tag));
        let digests = image.digests.iter().filter(|digest| is_last && repository(digest) && **digest != first);
        let names: Vec<Reference> = std::iter::once(first.clone()).chain(digests.cloned()).collect();
        self.untag(&names, image)
    }

    fn untag_all(&mut self, image: &Image) -> Result<()> {
        let names: Vec<Reference> = image.tags.iter().chain(&image.digests).cloned().collect();
        self.untag(&names, image).map(drop)
    }

    /// Takes names away and returns the image as it is then.
    fn untag(&mut self, names: &[Reference], image: &Image) -> Result<Image> {
        if !names.is_empty() {
            self.store.change_while_locked(&self.writer, |catalog, entries| {
                names.iter().for_each(|name| drop_name(catalog, entries, name, image.id));
                Ok(())
            })?;
        }
        self.removed.extend(names.iter().cloned().map(Removed::Untagged));
        Ok(self.store.get(&image.id).map_or_else(|| image.clone(), |image| (*image).clone()))
    }

    /// Removes an image whole, then its untagged parents. A `quiet` removal leaves what cannot go as it is.
    fn delete(&mut self, image: &Image, force: bool, quiet: bool) -> Result<()> {
        let catalog = self.store.catalog();
        let Some(image) = catalog.get(&image.id).cloned() else { return Ok(()) };
        match self.check(&catalog, &image, force, true) {
            Err(_) if quiet => return Ok(()),
            other => other?,
        }
        self.untag_all(&image)?;
        self.delete_content(&image)?;
        let parent = image.parent.and_then(|parent| self.store.get(&parent));
        match parent.filter(|parent| !self.options.keep_parents && is_dangling(parent)) {
            Some(parent) => self.delete(&parent, false, true),
            None => Ok(()),
        }
    }

    fn delete_content(&mut self, image: &Image) -> Result<()> {
        let mut garbage = Referenced::default();
        self.store.change_while_locked(&self.writer, |catalog, entries| {
            take_images(catalog, entries, &|id| id == image.id, &mut garbage);
            Ok(())
        })?;
        let catalog = self.store.catalog();
        self.removed.push(Removed::Deleted(image.id));
        self.removed.extend(self.lost_chains(&catalog, image).into_iter().map(Removed::Deleted));
        self.store.sweep(&garbage, &catalog).map(drop)
    }

    /// The layers, as chain ids from the top, that no other image and no container has.
    fn lost_chains(&self, catalog: &Catalog, image: &Image) -> Vec<Digest> {
        let others: HashSet<Digest> = catalog.images().flat_map(|image| image.chain_ids()).collect();
        let layers = image.chain_ids().into_iter().zip(image.diff_ids()).rev();
        let lost = layers.filter(|(chain, diff_id)| !others.contains(chain) && !self.store.is_leased(diff_id));
        lost.map(|(chain, _)| chain).collect()
    }

    /// Whether an image may go, in the order in which Docker asks.
    fn check(&self, catalog: &Catalog, image: &Image, force: bool, with_names: bool) -> Result<()> {
        let conflict = |how: &str, why: &str| {
            Err(Error::conflict(format!("conflict: unable to delete {} ({how}) - {why}", image.id.short())))
        };
        if catalog.images().any(|other| other.parent == Some(image.id)) {
            return conflict("cannot be forced", "image has dependent child images");
        }
        let users = (self.usage)(&image.id);
        if let Some(user) = users.iter().find(|user| user.running) {
            let container = user.container.short();
            return conflict("cannot be forced", &format!("image is being used by running container {container}"));
        }
        if !force && with_names && image.tags.len() + image.digests.len() > 0 {
            return conflict("must be forced", "image is referenced in multiple repositories");
        }
        if let Some(user) = users.first().filter(|_| !force) {
            let container = user.container.short();
            return conflict("must be forced", &format!("image is being used by stopped container {container}"));
        }
        Ok(())
    }
}

/// Whether all names are of one repository with one tag at most, so that an id means the same as the name.
fn is_single(image: &Image) -> bool {
    let mut names = image.tags.iter().chain(&image.digests);
    let first = names.next();
    let is_same =
        |name: &Reference| first.is_some_and(|first| (first.domain(), first.path()) == (name.domain(), name.path()));
    image.tags.len() <= 1 && names.all(is_same)
}

pub(crate) fn is_dangling(image: &Image) -> bool {
    image.tags.is_empty() && image.digests.is_empty()
}
