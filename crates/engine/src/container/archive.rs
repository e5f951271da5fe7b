//! A container's files: export, `cp` in both directions.
//!
//! Paths come from clients and symbolic links from the container, so every path is resolved by the kernel inside the
//! container's root (openat2(2), RESOLVE_IN_ROOT) and never as a path of the host.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, open, readlinkat, statat};
use wharf_api::container::{Change, ChangeKind, PathStat};
use wharf_runtime::spec::IdMapping;
use wharf_storage::Difference;
use wharf_storage::tar::{self, Limits};
use wharf_sys::path::open_in_root;
use wharf_types::{Error, Result, ResultExt};

use super::Containers;
use super::snapshot::Snapshot;

/// More than any real passwd file, in bytes.
const LARGEST_FILE: u64 = 16 << 20;

/// A path in a container, taken apart: the folder, opened, and the name in it.
struct Place {
    folder: OwnedFd,
    name: OsString,
    stat: Stat,
}

impl Containers {
    /// Writes the container's file system as a tar stream, without what is mounted inside it: not the live root, in which
    /// /proc and the volumes stand, but the same folders as another, read-only view.
    pub async fn export(&self, name: &str, out: impl Write + Send + 'static) -> Result<()> {
        let snapshot = self.find(name)?;
        let record = std::sync::Arc::clone(&snapshot.record);
        let this = self.clone();
        crate::blocking(move || tar::export(this.mount_aside(&snapshot, false)?.as_fd(), out)).await?;
        self.services.events.publish("container", "export", &record.id.to_string(), record.event_attributes());
        Ok(())
    }

    /// What stands at `path`; a symbolic link is not followed.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat> {
        let (this, snapshot, path) = (self.clone(), self.find(name)?, path.to_owned());
        crate::blocking(move || path_stat(&find_place(&this.open_root(&snapshot, false)?, &snapshot, &path)?)).await
    }

    /// Writes what stands at `path` as a tar stream whose first entry has the path's last name.
    pub async fn archive_get(&self, name: &str, path: &str, out: impl Write + Send + 'static) -> Result<()> {
        let (this, snapshot, path) = (self.clone(), self.find(name)?, path.to_owned());
        crate::blocking(move || {
            let place = find_place(&this.open_root(&snapshot, false)?, &snapshot, &path)?;
            tar::export_entry(place.folder.as_fd(), &place.name, &place.name, out)
        })
        .await
    }

    /// Unpacks a tar stream, plain or compressed, into the folder at `path`.
    ///
    /// # Errors
    /// `NotFound` without such a path, `InvalidParameter` when it is no folder, `Forbidden` on a read-only root.
    pub async fn archive_put(
        &self,
        name: &str,
        path: &str,
        options: PutOptions,
        stream: impl Read + Send + 'static,
    ) -> Result<()> {
        let (this, snapshot, path) = (self.clone(), self.find(name)?, path.to_owned());
        if snapshot.record.host_config.readonly_rootfs {
            return Err(Error::forbidden("container rootfs is marked read-only"));
        }
        let users = this.live_users(&snapshot);
        let put = move || {
            let root = this.open_root(&snapshot, true)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder =
                open_in_root(&root, &path, flags, Mode::empty()).map_err(|error| match error.raw_os_error() {
                    Some(code) if code == rustix::io::Errno::NOTDIR.raw_os_error() => {
                        Error::invalid("extraction point is not a directory")
                    }
                    _ => missing(&snapshot, &path, error),
                })?;
            let owner = if options.own { user_of(&root, &snapshot.record.config.user)? } else { None };
            let owners = |theirs| {
                let inside = owner.unwrap_or(theirs);
                users.as_ref().map_or(inside, |users| users.outside(inside))
            };
            if let Some(root) = users.as_ref().map(|users| users.outside((0, 0))) {
                become_owner(root)?;
            }
            let stream = wharf_storage::decompress(stream)?.1;
            tar::extract_with(stream, folder.as_fd(), &Limits::default(), options.replace, &owners)
        };
        crate::blocking(move || {
            // What it becomes for the files' sake must not stay with a thread that others use.
            std::thread::scope(|scope| scope.spawn(put).join())
                .unwrap_or_else(|_| Err(Error::system("unpacking the archive failed")))
        })
        .await
    }

    /// The users of a container that runs with others than the host's.
    fn live_users(&self, snapshot: &Snapshot) -> Option<IdMapping> {
        let remapped = snapshot.state.running().is_some() && snapshot.record.host_config.userns_mode != "host";
        self.services.config.containers.users.clone().filter(|_| remapped)
    }

    /// What the container changed of its image.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let (this, snapshot) = (self.clone(), self.find(name)?);
        crate::blocking(move || {
            let files = this.services.images.snapshots().get(&snapshot.record.id);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let upper = open(&files.upper, flags, Mode::empty()).map_err(std::io::Error::from);
            let upper = upper.context("cannot open what the container wrote")?;
            let below = wharf_storage::overlay::mount_layers(&snapshot.record.layers)?;
            let changed = wharf_storage::changes(upper.as_fd(), below.as_fd(), &OURS, &FRAME)?;
            Ok(changed.into_iter().map(change).collect())
        })
        .await
    }

    /// Opens the container's root: the live one where it runs, a mount that is attached nowhere otherwise.
    fn open_root(&self, snapshot: &Snapshot, writable: bool) -> Result<OwnedFd> {
        let Some(running) = snapshot.state.running() else { return self.mount_aside(snapshot, writable) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(format!("/proc/{}/root", running.pid), flags, Mode::empty());
        root.map_err(std::io::Error::from).context("the container has just ended")
    }

    /// The container's layers as a mount that is attached nowhere; writable only where it does not run.
    fn mount_aside(&self, snapshot: &Snapshot, writable: bool) -> Result<OwnedFd> {
        let files = self.services.images.snapshots().get(&snapshot.record.id);
        wharf_storage::overlay::mount_container(&snapshot.record.layers, &files, writable)
    }
}

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutOptions {
    /// A folder gives way to a file, and a file to a folder.
    pub replace: bool,
    /// All belongs to the container's own user afterwards, if it has one.
    pub own: bool,
}

/// From now on this thread makes files as this user, who is root in a container, with all that root may do.
fn become_owner((uid, gid): (u32, u32)) -> Result<()> {
    let before = wharf_sys::capability::get().context("cannot read the capabilities")?;
    wharf_sys::process::set_file_ids(uid, gid).context("cannot become the container's root")?;
    wharf_sys::capability::set(before).context("cannot keep the capabilities")
}

/// User and group that a container's processes run as, by its own files; `None` where none is named.
fn user_of(root: &OwnedFd, user: &str) -> Result<Option<(u32, u32)>> {
    if user.is_empty() {
        return Ok(None);
    }
    let text = |path: &str| {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open_in_root(root, path, flags, Mode::empty()).ok().map(std::fs::File::from);
        let file = file.filter(|file| file.metadata().is_ok_and(|status| status.is_file()));
        let mut bytes = Vec::new();
        // A file that cannot be read names nobody.
        let _partly = file.map(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    };
    wharf_runtime::ids_of(user, &text("/etc/passwd"), &text("/etc/group")).map(Some)
}

/// What the engine puts into every container, and Docker has below the container's own changes.
const OURS: [&[u8]; 8] = [
    b"/.dockerenv",
    b"/dev/console",
    b"/dev/pts",
    b"/dev/shm",
    b"/etc/hostname",
    b"/etc/hosts",
    b"/etc/mtab",
    b"/etc/resolv.conf",
];
/// The folders that it makes for that, and to mount file systems on.
const FRAME: [&[u8]; 4] = [b"/dev", b"/etc", b"/proc", b"/sys"];

fn change((path, difference): wharf_storage::Changed) -> Change {
    let kind = match difference {
        Difference::Modified => ChangeKind::Modified,
        Difference::Added => ChangeKind::Added,
        Difference::Deleted => ChangeKind::Deleted,
    };
    Change { path: String::from_utf8_lossy(&path).into_owned(), kind }
}

/// Opens the folder of `path` and looks at its last name without following it. `/`, and paths that end in `/` or `.`,
/// mean the folder itself.
fn find_place(root: &OwnedFd, snapshot: &Snapshot, path: &str) -> Result<Place> {
    let trimmed = path.trim_end_matches('/');
    let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    let is_folder_itself = matches!(name, "" | "." | "..") || path.ends_with('/');
    let (folder, name) = if is_folder_itself { (path, ".") } else { (parent, name) };
    let folder = if folder.is_empty() { "/" } else { folder };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open_in_root(root, folder, flags, Mode::empty()).map_err(|error| missing(snapshot, path, error))?;
    let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|error| missing(snapshot, path, error.into()))?;
    Ok(Place { folder, name: OsStr::new(name).to_owned(), stat })
}

fn missing(snapshot: &Snapshot, path: &str, error: std::io::Error) -> Error {
    let name = &snapshot.record.name;
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            Error::not_found(format!("Could not find the file {path} in container {name}"))
        }
        _ => Error::system(format!("cannot look at {path} in container {name}")).caused_by(error),
    }
}

fn path_stat(place: &Place) -> Result<PathStat> {
    let stat = &place.stat;
    let link_target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = readlinkat(&place.folder, place.name.as_bytes(), Vec::new()).map_err(std::io::Error::from)?;
            OsString::from_vec(target.into_bytes()).to_string_lossy().into_owned()
        }
        _ => String::new(),
    };
    let mtime = jiff::Timestamp::new(stat.st_mtime, i32::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Ok(PathStat {
        name: place.name.to_string_lossy().into_owned(),
        size: stat.st_size,
        mode: go_mode(stat.st_mode),
        mtime: mtime.map_or_else(|_| crate::time::NEVER.to_owned(), |time| time.to_string()),
        link_target,
    })
}

/// A mode as Go's `os.FileMode` has it: permissions below, types from the top.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| mode & bit != 0).fold(0, |all, (_, go)| all | go);
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_go_writes_them() {
        assert_eq!(go_mode(0o040_755), 1 << 31 | 0o755);
        assert_eq!(go_mode(0o104_755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o120_777), 1 << 27 | 0o777);
        assert_eq!(go_mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
    }
}
