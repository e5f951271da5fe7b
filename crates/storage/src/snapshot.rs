//! Container folders: the writable part of a container's root, and removal that neither follows links nor gets stuck.

use std::path::{Path, PathBuf};

use wharf_types::{Id, Result};

use crate::Usage;

/// The folders of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// `containers/<id>`: everything that belongs to the container.
    pub dir: PathBuf,
    /// Overlay's `upperdir`: what the container wrote.
    pub upper: PathBuf,
    /// Overlay's `workdir`.
    pub work: PathBuf,
}

/// The folder `containers/`, with one folder per container id and `.trash` for what is being deleted.
pub struct Snapshots {
    root: PathBuf,
}

impl Snapshots {
    /// Opens folder `root`, making it where it is missing, and empties the trash of an earlier run.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { root: root.to_owned() })
    }

    /// Where the folders of container `id` are, whether or not they exist.
    pub fn get(&self, id: &Id) -> Snapshot {
        let dir = self.root.join(id.to_string());
        Snapshot { upper: dir.join("upper"), work: dir.join("work"), dir }
    }

    /// Makes the folders of a container. Never syncs: three `mkdir` and no more.
    pub fn prepare(&self, _id: &Id) -> Result<Snapshot> {
        todo!()
    }

    /// Takes a container's folder out of sight by renaming it into the trash: one system call, however large it is.
    /// A missing folder is fine. The space comes back with [`Snapshots::empty_trash`].
    pub fn discard(&self, _id: &Id) -> Result<()> {
        todo!()
    }

    /// Deletes everything in the trash, going on past what cannot be deleted and reporting the first such failure.
    pub fn empty_trash(&self) -> Result<()> {
        todo!()
    }

    /// [`Snapshots::discard`], then deletes this one folder.
    pub fn remove(&self, _id: &Id) -> Result<()> {
        todo!()
    }

    /// The containers that have a folder, in no particular order.
    pub fn list(&self) -> Result<Vec<Id>> {
        todo!()
    }

    /// What a container has written (Docker's `SizeRw` is [`Usage::bytes`]).
    pub fn usage(&self, _id: &Id) -> Result<Usage> {
        todo!()
    }
}
