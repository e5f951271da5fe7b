//! Images on top of storage: names and ids, list, tag, remove, import, load, save, commit.
//!
//! [`ImageStore`] is the door. Reading (resolve, list, inspect) uses an index in memory and never waits for a write.

mod archive;
mod blobs;
mod built;
mod catalog;
mod changes;
mod check;
mod collect;
mod config;
mod documents;
mod image;
mod import;
mod layout;
mod load;
mod names;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod store;
mod tree;
mod usage;
mod variants;
mod words;

pub use blobs::{Absent, GivenUp, GivingUp};
pub use built::BuiltLayer;
pub use changes::apply_changes;
pub use check::{Checked, Finding, Flaw, Look};
pub use collect::Collected;
pub use config::{Health, History, ImageConfig, ImageDocument, RootFs};
pub use documents::{Descriptor, Index, Manifest, media_type};
pub use image::{HistoryEntry, Image, ImageId};
pub use import::{CommitOptions, ImportOptions};
pub use load::{Loaded, Progress};
pub use prune::Pruned;
pub use pull::{Part, Present, Pulled, Remote, check_image, choose, config_limit, parts, read_remote};
pub use push::{PushBlob, PushDocument, PushPlan};
pub use remove::{InUse, RemoveOptions, Removed};
pub use store::{BrokenImage, ImageStore};
pub use usage::StoreUsage;
pub use variants::{Member, MemberKind};
