//! A container's files: export, and what it changed.

use std::os::fd::{AsFd, OwnedFd};

use wharf_types::{Error, Result, ResultExt};

use super::Containers;
use super::owner::Snapshot;

impl Containers {
    /// Opens the container's root: the live one where it runs, a mount of its own that is attached nowhere otherwise.
    pub(super) fn open_root(&self, snapshot: &Snapshot) -> Result<OwnedFd> {
        use rustix::fs::{Mode, OFlags, open};
        match snapshot.state.running() {
            Some(running) => open(
                format!("/proc/{}/root", running.pid),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(std::io::Error::from)
            .context("the container has just ended"),
            None => {
                let files = self.services.images.snapshots().get(&snapshot.record.id);
                wharf_storage::overlay::mount_container(&snapshot.record.layers, &files, false)
            }
        }
    }

    /// Writes the container's whole file system as a tar stream.
    pub async fn export(&self, name: &str, out: impl std::io::Write + Send + 'static) -> Result<()> {
        let snapshot = self.find(name)?;
        let this = self.clone();
        let record = std::sync::Arc::clone(&snapshot.record);
        crate::blocking(move || {
            let root = this.open_root(&snapshot)?;
            wharf_storage::tar::export(root.as_fd(), out).map(drop)
        })
        .await?;
        self.services.events.publish("container", "export", &record.id.to_string(), record.event_attributes());
        Ok(())
    }

    /// What the container changed of its image.
    pub fn changes(&self, name: &str) -> Result<Vec<wharf_api::container::Change>> {
        self.find(name)?;
        Err(Error::not_implemented("diff is not there yet"))
    }
}
