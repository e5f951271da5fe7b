//! Volumes that must be mounted before they are used, and the containers that use them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use wharf_types::{Id, Result};

use super::plugin::Plugin;
use super::{Volume, Volumes, local};

/// Which volumes are mounted, where, and for whom.
#[derive(Default)]
pub(super) struct Active {
    table: Mutex<BTreeMap<String, Arc<AsyncMutex<Mounted>>>>,
}

#[derive(Default)]
pub(super) struct Mounted {
    users: BTreeSet<Id>,
    place: Option<PathBuf>,
}

impl Active {
    fn of(&self, volume: &str) -> Arc<AsyncMutex<Mounted>> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(table.entry(volume.to_owned()).or_default())
    }
}

impl Volume {
    /// Whether it must be mounted before it is used.
    pub fn needs_mounting(&self) -> bool {
        !self.is_local() || !self.options.is_empty()
    }

    /// Whether its driver is the engine's own.
    pub fn is_local(&self) -> bool {
        matches!(self.driver.as_str(), "" | "local")
    }
}

impl Volumes {
    /// Makes a volume ready for a container; where its content is.
    pub(crate) async fn acquire(&self, name: &str, container: Id) -> Result<PathBuf> {
        let volume = self.find(name)?;
        if !volume.needs_mounting() {
            return Ok(self.path(name));
        }
        let mounted = self.inner.active.of(name);
        let mut mounted = mounted.lock().await;
        if let Some(place) = mounted.place.clone().filter(|_| volume.is_local()) {
            mounted.users.insert(container);
            return Ok(place);
        }
        let (place, own) = (self.path(name), self.inner.plugins.clone());
        let place = crate::blocking(move || activate(&volume, place, &own, container)).await?;
        mounted.users.insert(container);
        mounted.place = Some(place.clone());
        Ok(place)
    }

    /// A container that lived before this engine did uses the volume.
    pub(crate) async fn adopt(&self, name: &str, container: Id) {
        let Some(volume) = self.find(name).ok().filter(Volume::needs_mounting) else { return };
        let mounted = self.inner.active.of(name);
        let mut mounted = mounted.lock().await;
        mounted.users.insert(container);
        mounted.place.get_or_insert_with(|| self.path(&volume.name));
    }

    /// A container no longer uses the volume: the last one takes the mount down.
    pub(crate) async fn release(&self, name: &str, container: Id) {
        let Some(volume) = self.find(name).ok().filter(Volume::needs_mounting) else { return };
        let mounted = self.inner.active.of(name);
        let mut mounted = mounted.lock().await;
        if !mounted.users.remove(&container) {
            return;
        }
        let last = mounted.users.is_empty();
        if last {
            mounted.place = None;
        }
        if last || !volume.is_local() {
            self.deactivate(volume, container).await;
        }
    }

    /// Takes down what an earlier engine mounted and no container uses.
    pub(crate) async fn settle(&self) {
        for volume in self.list().into_iter().filter(|volume| volume.is_local() && volume.needs_mounting()) {
            let mounted = self.inner.active.of(&volume.name);
            let mounted = mounted.lock().await;
            if mounted.users.is_empty() {
                self.deactivate(volume, Id::from_random([0; 32])).await;
            }
        }
    }

    async fn deactivate(&self, volume: Volume, container: Id) {
        let (place, own, name) = (self.path(&volume.name), self.inner.plugins.clone(), volume.name.clone());
        let done = crate::blocking(move || match volume.is_local() {
            true => local::deactivate(&place),
            false => Plugin::find(&volume.driver, &own)?.unmount(&volume.name, &container.to_string()),
        });
        if let Err(error) = done.await {
            tracing::warn!(volume = name, error = %error.chain(), "a volume was not unmounted");
        }
    }
}

fn activate(volume: &Volume, place: PathBuf, own: &Path, container: Id) -> Result<PathBuf> {
    if !volume.is_local() {
        return Plugin::find(&volume.driver, own)?.mount(&volume.name, &container.to_string());
    }
    if let Some(plan) = local::plan(&volume.options)? {
        // One that an engine left behind when it died.
        local::deactivate(&place)?;
        local::activate(&plan, &place)?;
    }
    Ok(place)
}
