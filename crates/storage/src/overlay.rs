//! Overlay mounts that are attached nowhere: they exist as long as their descriptor, and a crash leaves none.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use wharf_types::Result;

use crate::Snapshot;

/// Mounts `layers` (topmost first) beneath the container's own folder and returns the root as a directory descriptor.
///
/// For containers that do not run: a second mount of an upper folder in use is undefined. With `writable` false,
/// nothing on disk is touched, not even overlay's work folder.
pub fn mount_container(_layers: &[PathBuf], _container: &Snapshot, _writable: bool) -> Result<OwnedFd> {
    todo!()
}

/// Mounts `layers` (topmost first) read-only and returns the root as a directory descriptor.
pub fn mount_layers(_layers: &[PathBuf]) -> Result<OwnedFd> {
    todo!()
}
