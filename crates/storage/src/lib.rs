//! What wharf keeps on disk, beneath images and containers: content-addressed blobs, unpacked layers, container
//! folders, overlay mounts, and tar streams in both directions.
//!
//! Everything is synchronous. Three rules hold throughout:
//!
//! - Content is present only when it is complete: written aside, verified, made durable, then renamed into place.
//! - No name that comes from an archive or a container is ever resolved as a path on the host: every step goes from
//!   a directory descriptor to the next, without following symbolic links, or inside `RESOLVE_IN_ROOT`.
//! - What nothing refers to is garbage; whoever works on something holds a [`Lease`] on it.

mod changes;
mod compare;
mod compression;
mod content;
mod dir;
mod layers;
mod lease;
mod partial;
mod pipeline;
mod removal;
mod repack;
mod snapshot;
mod temporary;
mod undertaker;
mod usage;
mod verify;

pub mod overlay;
pub mod tar;

pub use changes::{Changed, Difference, changes};
pub use compression::{Compression, Peeked, decompress};
pub use content::{BlobInfo, ContentStore, Ingest, StagedBlob};
pub use layers::{LayerInfo, LayerStore, StagedLayer};
pub use lease::{Lease, Leases};
pub use partial::{Follower, Partial};
pub use snapshot::{Snapshot, Snapshots};
pub use temporary::Grave;
pub use undertaker::Undertaker;
pub use usage::Usage;
pub use verify::Verified;
