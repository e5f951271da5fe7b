//! Images on top of storage: names and ids, list, tag, remove, import, load, save, commit.
//!
//! [`ImageStore`] is the door. Reading (resolve, list, inspect) uses an index in memory and never waits for a write.

mod config;
mod documents;
mod image;
mod remove;
mod store;
mod transfer;

pub use config::{Health, History, ImageConfig, ImageDocument, RootFs};
pub use documents::{Descriptor, Index, Manifest, media_type};
pub use image::{HistoryEntry, Image, ImageId};
pub use remove::{InUse, Pruned, RemoveOptions, Removed};
pub use store::{Collected, ImageStore};
pub use transfer::{CommitOptions, ImportOptions, Loaded, Progress};
