//! The first content of a volume: what the image has where the volume is mounted.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, open};
use wharf_storage::tar::{self, Limits};
use wharf_sys::path::open_in_root;
use wharf_types::{Error, Result, ResultExt};

use super::record::MountRecord;

/// Copies the image's content at each volume's place into the volume if that is empty, with owner and mode of the
/// folder, unless `nocopy` was asked for.
pub fn fill(layers: &[PathBuf], mounts: &[MountRecord]) -> Result<()> {
    let wanted =
        |mount: &&MountRecord| mount.volume.is_some() && !mount.options.iter().any(|option| option == "nocopy");
    let mut root: Option<OwnedFd> = None;
    for mount in mounts.iter().filter(wanted) {
        // One that must be mounted first is filled when it is.
        if layers.is_empty() || !mount.source.exists() || !is_empty(&mount.source)? {
            continue;
        }
        let root = match &root {
            Some(root) => root,
            None => root.insert(wharf_storage::overlay::mount_layers(layers)?),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // The image may have nothing there, or no folder.
        let Ok(source) = open_in_root(root, &mount.destination, flags, Mode::empty()) else { continue };
        let volume = open(&mount.source, flags, Mode::empty()).map_err(std::io::Error::from);
        let volume = volume.with_context(|| format!("cannot open the volume {}", mount.source.display()))?;
        copy(source.as_fd(), volume.as_fd())
            .with_context(|| format!("cannot copy {} into the volume", mount.destination))?;
    }
    Ok(())
}

fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(dir).with_context(|| format!("cannot read the volume {}", dir.display()))?;
    Ok(entries.next().is_none())
}

fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || tar::export(source, std::io::BufWriter::new(writer)));
        let read = tar::extract(reader, target, &Limits::default());
        let written = writing.join().unwrap_or_else(|_| Err(Error::system("copying failed")));
        // A reader that failed breaks the writer's pipe: its error is the cause.
        read.and(written)
    })?;
    let like = fstat(source).map_err(std::io::Error::from)?;
    fchown(target, Some(Uid::from_raw(like.st_uid)), Some(Gid::from_raw(like.st_gid))).map_err(std::io::Error::from)?;
    fchmod(target, Mode::from_raw_mode(like.st_mode)).map_err(std::io::Error::from)?;
    Ok(())
}
