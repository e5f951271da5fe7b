//! Images, for a caller that must not block: the image store behind `spawn_blocking`, events, and which container uses
//! which image.

mod remote;
mod transfer;
pub mod upkeep;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wharf_image::ImageStore;
use wharf_storage::{Lease, Snapshots};
use wharf_types::{Id, Result};

use crate::config::Config;
use crate::event::Events;

pub use remote::{Credentials, Distribution, PullRequest, PushRequest, Report};
pub use view::{Show, invalid_reference};

/// The image store; clones share it.
#[derive(Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

struct Inner {
    store: ImageStore,
    snapshots: Snapshots,
    leases: Mutex<HashMap<Id, Vec<Lease>>>,
    events: Events,
    remote: remote::Remote,
    /// Whether the blobs of unpacked layers are given up.
    gives_up_blobs: bool,
}

impl Images {
    /// Opens the store below the engine's root.
    pub(crate) fn open(config: &Config, events: &Events) -> Result<Self> {
        let inner = Inner {
            store: ImageStore::open(&config.root)?,
            snapshots: Snapshots::open(&config.containers_dir())?,
            leases: Mutex::default(),
            events: events.clone(),
            remote: remote::Remote::new(config.registries.clone(), config.downloads, config.uploads),
            gives_up_blobs: config.give_up_blobs,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store itself: lookups answer from memory; call everything else through [`Images::run`].
    pub fn store(&self) -> &ImageStore {
        &self.inner.store
    }

    /// What the engine was told about registries, last.
    pub(crate) fn registries(&self) -> wharf_registry::client::Settings {
        self.inner.remote.registry().settings().clone()
    }

    /// What transfers share.
    fn remote(&self) -> &remote::Remote {
        &self.inner.remote
    }

    /// Speaks to registries by other settings from now on.
    pub(crate) fn use_registries(&self, settings: wharf_registry::client::Settings) {
        self.remote().use_registries(settings);
    }

    /// The containers' folders.
    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.inner.snapshots
    }

    /// Runs work on the store that may block.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&ImageStore) -> Result<T> + Send + 'static,
    {
        let this = self.clone();
        crate::blocking(move || work(this.store())).await
    }

    /// Makes folders for the next container in the background.
    pub(crate) fn stock_snapshots_later(&self) {
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = crate::blocking(move || this.snapshots().stock()).await {
                tracing::debug!(error = %error.chain(), "no folders in stock; the next container makes its own");
            }
        });
    }

    /// Gives disk space back in the background: folders of containers that were removed.
    pub(crate) fn empty_trash_later(&self) {
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = crate::blocking(move || this.snapshots().empty_trash()).await {
                tracing::warn!(error = %error.chain(), "the trash was not emptied; the next removal tries again");
            }
        });
    }

    /// Removes, in the background, content that no image refers to and no container holds.
    pub(crate) fn collect_later(&self) {
        let this = self.clone();
        tokio::spawn(async move {
            match this.run(ImageStore::collect).await {
                Ok(collected) if collected.bytes > 0 => tracing::info!(?collected, "unused content removed"),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error.chain(), "unused content was not removed"),
            }
        });
    }

    pub(crate) fn tell(&self, action: &str, id: &str, name: &str) {
        self.inner.events.publish("image", action, id, [("name".to_owned(), name.to_owned())]);
    }

    /// Keeps an image's layers for as long as a container exists, even if the image is removed with force.
    pub(crate) fn hold(&self, container: Id, lease: Lease) {
        self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner).entry(container).or_default().push(lease);
    }

    /// Lets go of what a container held.
    pub(crate) fn drop_lease(&self, container: Id) {
        let lease = self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&container);
        drop(lease);
    }
}
