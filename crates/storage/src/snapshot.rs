//! Container folders: the writable part of a container's root, and removal that neither follows links nor gets stuck.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, AtFlags, Mode, RenameFlags};
use rustix::io::Errno;
use wharf_types::{Id, Result, ResultExt};

use crate::dir::DIR_FLAGS;
use crate::{Usage, dir, removal};

const TRASH: &str = ".trash";
/// The folders of a container to come.
const SPARE: &str = ".spare";
/// The same while they are being made.
const UNFINISHED: &str = ".spare.new";

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

/// A container's folder in `parent`, with what belongs inside.
fn make_folders(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    make(parent, name, 0o700)?;
    // This one's mode becomes that of the container's `/`.
    make(parent, &format!("{name}/upper"), 0o755)?;
    make(parent, &format!("{name}/work"), 0o700)
}

/// A folder with this mode, whatever the umask; or the one that is there.
fn make(parent: BorrowedFd<'_>, name: &str, mode: u32) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => rustix::fs::chmodat(parent, name, mode, AtFlags::empty()),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The folder `containers/`, with one folder per container id and `.trash` for what is being deleted.
pub struct Snapshots {
    path: PathBuf,
    root: OwnedFd,
    trash: OwnedFd,
    /// Held while stocking; whether that is over.
    stocking: Mutex<bool>,
}

impl Snapshots {
    /// Opens folder `root`, making it where it is missing.
    ///
    /// What an earlier run left in the trash stays there until [`Snapshots::empty_trash`], which can take long and is
    /// for a background task.
    pub fn open(root: &Path) -> Result<Self> {
        let fd = dir::open_or_create(root)?;
        let trash = dir::subdir(fd.as_fd(), TRASH, 0o700)?;
        Ok(Self { path: root.to_owned(), root: fd, trash, stocking: Mutex::default() })
    }

    /// Where the folders of container `id` are, whether or not they exist.
    pub fn get(&self, id: &Id) -> Snapshot {
        let dir = self.path.join(id.to_string());
        Snapshot { upper: dir.join("upper"), work: dir.join("work"), dir }
    }

    /// Makes the folders of a container, or takes those that are there. Never syncs.
    ///
    /// Takes the spare folders of [`Snapshots::stock`] where there are some: one system call instead of six.
    pub fn prepare(&self, id: &Id) -> Result<Snapshot> {
        let name = id.to_string();
        let made = match rustix::fs::renameat_with(&self.root, SPARE, &self.root, &name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(_none_or_there_already) => make_folders(self.root.as_fd(), &name),
        };
        made.map_err(io::Error::from).with_context(|| format!("cannot create the folders of container {id}"))?;
        Ok(self.get(id))
    }

    /// Makes spare folders for the next [`Snapshots::prepare`], if there are none. They keep over restarts.
    pub fn stock(&self) -> Result<()> {
        let ended = self.stocking.lock().unwrap_or_else(PoisonError::into_inner);
        if *ended || rustix::fs::accessat(&self.root, SPARE, Access::EXISTS, AtFlags::empty()).is_ok() {
            return Ok(());
        }
        let stock = || {
            make_folders(self.root.as_fd(), UNFINISHED)?;
            rustix::fs::renameat_with(&self.root, UNFINISHED, &self.root, SPARE, RenameFlags::NOREPLACE)
        };
        stock().map_err(io::Error::from).context("cannot create folders for containers to come")
    }

    /// Removes the spare folders and makes no more, for an engine that ends.
    pub fn end_stock(&self) -> Result<()> {
        let mut ended = self.stocking.lock().unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        for name in [SPARE, UNFINISHED] {
            let name = c_string(name);
            removal::remove_tree(self.root.as_fd(), &name)
                .map_err(io::Error::from)
                .context("cannot remove spare folders")?;
        }
        Ok(())
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
