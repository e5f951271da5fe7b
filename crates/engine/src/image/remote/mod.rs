//! Images to and from registries.

mod ask;
mod back;
mod layer;
mod pull;
mod push;
mod shared;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Semaphore;
use wharf_api::image::Progress;
use wharf_registry::client::{Registry, Settings};
use wharf_types::Error;

pub use ask::Distribution;
pub use pull::PullRequest;
pub use push::PushRequest;
pub use wharf_registry::client::Credentials;

/// Where progress is told.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// What all transfers of an engine share.
pub(super) struct Remote {
    /// Another one once the settings change.
    registry: RwLock<Registry>,
    /// Layers that are being fetched.
    layers: shared::Table,
    downloads: Semaphore,
    uploads: Semaphore,
    unpacks: Semaphore,
    /// One pull ends at a time, so that what two of them share is published once.
    committing: Mutex<()>,
    /// Unpacked layers are being written to disk.
    writing_back: AtomicBool,
}

impl Remote {
    pub(super) fn new(settings: Settings, downloads: usize, uploads: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            registry: RwLock::new(Registry::new(settings)),
            layers: shared::Table::default(),
            downloads: Semaphore::new(downloads.max(1)),
            uploads: Semaphore::new(uploads.max(1)),
            unpacks: Semaphore::new(processors.clamp(2, 8)),
            committing: Mutex::default(),
            writing_back: AtomicBool::new(false),
        }
    }
}

impl Remote {
    pub(super) fn registry(&self) -> Registry {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn use_registries(&self, settings: Settings) {
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Registry::new(settings);
    }
}

/// The same failure once more, for another one who waits for the same.
fn copy_of(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.chain());
    match error.hint() {
        Some(hint) => copy.with_hint(hint),
        None => copy,
    }
}
