//! Container folders: the writable part of a container's root, and removal that neither follows links nor gets stuck.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, RenameFlags};
use rustix::io::Errno;
use wharf_types::{Id, Result, ResultExt};

use crate::dir::DIR_FLAGS;
use crate::{Usage, dir, removal};

const TRASH: &str = ".trash";

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
    path: PathBuf,
    root: OwnedFd,
    trash: OwnedFd,
}

impl Snapshots {
    /// Opens folder `root`, making it where it is missing.
    ///
    /// What an earlier run left in the trash stays there until [`Snapshots::empty_trash`], which can take long and is
    /// for a background task.
    pub fn open(root: &Path) -> Result<Self> {
        let fd = dir::open_or_create(root)?;
        let trash = dir::subdir(fd.as_fd(), TRASH, 0o700)?;
        Ok(Self { path: root.to_owned(), root: fd, trash })
    }

    /// Where the folders of container `id` are, whether or not they exist.
    pub fn get(&self, id: &Id) -> Snapshot {
        let dir = self.path.join(id.to_string());
        Snapshot { upper: dir.join("upper"), work: dir.join("work"), dir }
    }

    /// Makes the folders of a container, or takes those that are there. Never syncs.
    pub fn prepare(&self, id: &Id) -> Result<Snapshot> {
        let make = || -> rustix::io::Result<()> {
            let name = id.to_string();
            self.make(&name, 0o700)?;
            self.make(&format!("{name}/upper"), 0o755)?;
            self.make(&format!("{name}/work"), 0o700)
        };
        make().map_err(io::Error::from).with_context(|| format!("cannot create the folders of container {id}"))?;
        Ok(self.get(id))
    }

    /// The upper folder's mode becomes that of the container's `/`, whatever the umask.
    fn make(&self, name: &str, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::mkdirat(&self.root, name, mode) {
            Ok(()) => rustix::fs::chmodat(&self.root, name, mode, rustix::fs::AtFlags::empty()),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a container's folder out of sight by renaming it into the trash: one system call, however large it is.
    /// A missing folder is fine. The space comes back with [`Snapshots::empty_trash`].
    pub fn discard(&self, id: &Id) -> Result<()> {
        self.bury(id).map(drop)
    }

    fn bury(&self, id: &Id) -> Result<Option<CString>> {
        let name = id.to_string();
        for attempt in 0u32.. {
            let grave = c_string(&format!("{name}.{attempt}"));
            match rustix::fs::renameat_with(&self.root, &name, &self.trash, &grave, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(Some(grave)),
                Err(Errno::NOENT) => break,
                Err(Errno::EXIST) => {}
                Err(error) => {
                    let message = format!("cannot remove the folder of container {id}");
                    return Err(io::Error::from(error)).context(message);
                }
            }
        }
        Ok(None)
    }

    /// Deletes everything in the trash, going on past what cannot be deleted and reporting the first such failure.
    pub fn empty_trash(&self) -> Result<()> {
        let trash = rustix::fs::openat(&self.trash, c".", DIR_FLAGS, Mode::empty());
        let emptied = trash.and_then(removal::remove_contents).map_err(io::Error::from);
        emptied.context("cannot delete the folders of removed containers")
    }

    /// [`Snapshots::discard`], then deletes this one folder. Calling it again is fine.
    pub fn remove(&self, id: &Id) -> Result<()> {
        let Some(grave) = self.bury(id)? else { return Ok(()) };
        let removed = removal::remove_tree(self.trash.as_fd(), &grave).map_err(io::Error::from);
        removed.with_context(|| format!("cannot delete the folder of container {id}"))
    }

    /// The containers that have a folder, in no particular order.
    pub fn list(&self) -> Result<Vec<Id>> {
        let names = dir::entries(self.root.as_fd()).map_err(io::Error::from).context("cannot list the containers")?;
        Ok(names.iter().filter_map(|(name, _)| name.to_str().ok()?.parse().ok()).collect())
    }

    /// What a container has written (Docker's `SizeRw` is [`Usage::bytes`]).
    pub fn usage(&self, id: &Id) -> Result<Usage> {
        let upper: &CStr = &c_string(&format!("{id}/upper"));
        let fd = rustix::fs::openat(&self.root, upper, DIR_FLAGS, Mode::empty()).map_err(io::Error::from);
        Usage::of(fd.with_context(|| format!("cannot open the folder of container {id}"))?.as_fd())
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("an id holds no NUL")
}
