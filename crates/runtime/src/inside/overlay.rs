//! The overlay that is a container's root file system.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{FsOpenFlags, fsconfig_set_string, fsopen};

use super::fsmount::{self, Detached};

/// Whatever the kernel's defaults are: a layer must be readable as a plain folder, so no redirects and no metadata-only
/// copies; and nothing that ties it to its inode numbers.
const PLAIN: [(&str, &str); 4] = [("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"), ("xino", "off")];

/// fsconfig takes strings of up to 255 bytes.
const LONGEST_VALUE: usize = 255;

/// The overlay of `lower` (topmost first, may be empty), `upper` and `work`; `volatile` where nothing needs to last.
pub(super) fn mount(lower: &[PathBuf], upper: &Path, work: &Path, volatile: bool) -> io::Result<Detached> {
    if lower.is_empty() {
        return fsmount::copy(rustix::fs::CWD, upper, false);
    }
    if !wharf_sys::kernel::at_least(6, 5) {
        return joined(lower, upper, work, volatile);
    }
    match one_by_one(lower, upper, work, volatile) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            joined(lower, upper, work, volatile).map_err(|_| error)
        }
        other => other,
    }
}

/// Layers (topmost first) that nothing is written to.
pub(super) fn mount_lower(lower: &[PathBuf]) -> io::Result<Detached> {
    match lower {
        // Overlay wants two at least; one alone is its own tree.
        [only] => fsmount::copy(rustix::fs::CWD, only, false),
        _ if wharf_sys::kernel::at_least(6, 5) => {
            let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
            let mut held = Vec::new();
            for layer in lower {
                let path = fitting(layer, &mut held)?;
                fsconfig_set_string(&context, "lowerdir+", path.as_path())?;
            }
            fsmount::create(&context, wharf_sys::mount::attribute::RDONLY)
        }
        _ => {
            let mut held = Vec::new();
            let names = lower.iter().map(|layer| by_descriptor(layer, &mut held)).collect::<io::Result<Vec<_>>>()?;
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_os_str().as_bytes()).collect();
            attached(&[&b"lowerdir="[..], &names.join(&b':')].concat())
        }
    }
}

/// As [`mount()`], with the owners of all files shown as the user namespace maps them: on disk they stay as they are (kernel
/// 5.19).
pub(super) fn mount_mapped(lower: &[PathBuf], upper: &Path, work: &Path, user: &OwnedFd) -> io::Result<Detached> {
    let mapped = |path: &Path| {
        let mut copy = fsmount::copy(rustix::fs::CWD, path, false)?;
        copy.map_owners(user, false)?;
        io::Result::Ok(copy)
    };
    if lower.is_empty() {
        return mapped(upper);
    }
    let lower = lower.iter().map(|layer| mapped(layer)).collect::<io::Result<Vec<_>>>()?;
    // The two must be on the same mount, so it is their common folder that is mapped.
    let folder = upper.parent().filter(|folder| work.parent() == Some(folder)).ok_or(io::ErrorKind::InvalidInput)?;
    let folder = mapped(folder)?;
    let name = |mount: &Detached| PathBuf::from(format!("/proc/self/fd/{}", mount.fd().as_raw_fd()));
    let inside = |path: &Path| path.file_name().map(|file| name(&folder).join(file)).ok_or(io::ErrorKind::InvalidInput);
    let lower: Vec<PathBuf> = lower.iter().map(name).collect();
    let (upper, work) = (inside(upper)?, inside(work)?);
    // Overlay does its own work as whoever mounts it, who must be somebody in the mapping: the mapped root, to whom the
    // common folder belongs.
    as_owner(rustix::fs::fstat(folder.fd())?, || {
        if wharf_sys::kernel::at_least(6, 5) {
            one_by_one(&lower, &upper, &work, false)
        } else {
            joined(&lower, &upper, &work, false)
        }
    })
}

/// Runs `action` with the file's owner as the one who makes files, and all capabilities that this process has.
fn as_owner<T>(file: rustix::fs::Stat, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    use wharf_sys::{capability, process::set_file_ids};
    let capabilities = capability::get()?;
    let become_it = |uid, gid| set_file_ids(uid, gid).and_then(|()| capability::set(capabilities));
    become_it(file.st_uid, file.st_gid)?;
    let result = action();
    become_it(0, 0)?;
    result
}

/// Kernel 6.5: a parameter for each layer.
fn one_by_one(lower: &[PathBuf], upper: &Path, work: &Path, volatile: bool) -> io::Result<Detached> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let mut held = Vec::new();
    let mut set = |name: &str, path: &Path| -> io::Result<()> {
        let path = fitting(path, &mut held)?;
        Ok(fsconfig_set_string(&context, name, path.as_path())?)
    };
    for layer in lower {
        set("lowerdir+", layer)?;
    }
    set("upperdir", upper)?;
    set("workdir", work)?;
    set_plain(&context)?;
    if volatile {
        rustix::mount::fsconfig_set_flag(&context, "volatile")?;
    }
    fsmount::create(&context, 0)
}

/// Older kernels: all layers in one parameter, by descriptor, which is short and needs no escaping. That string may be
/// longer than fsconfig takes, but mount(2) would take no more than a page either: so it goes through a short folder.
fn joined(lower: &[PathBuf], upper: &Path, work: &Path, volatile: bool) -> io::Result<Detached> {
    let mut held = Vec::new();
    let names = lower.iter().map(|layer| by_descriptor(layer, &mut held)).collect::<io::Result<Vec<_>>>()?;
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_os_str().as_bytes()).collect();
    let upper = by_descriptor(upper, &mut held)?;
    let work = by_descriptor(work, &mut held)?;
    let mut options = format!("upperdir={},workdir={}", upper.display(), work.display()).into_bytes();
    for (name, value) in PLAIN {
        options.extend_from_slice(format!(",{name}={value}").as_bytes());
    }
    if volatile {
        options.extend_from_slice(b",volatile");
    }
    options.extend_from_slice(b",lowerdir=");
    options.extend_from_slice(&names.join(&b':'));
    attached(&options)
}

/// mount(2) needs a place: the host's root, in this process's own mount namespace, whence a copy is taken.
fn attached(options: &[u8]) -> io::Result<Detached> {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let options = std::ffi::CString::new(options)?;
    mount("overlay", "/proc", "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    let copy = fsmount::copy(rustix::fs::CWD, Path::new("/proc"), false);
    unmount("/proc", UnmountFlags::DETACH)?;
    copy
}

fn set_plain(context: &OwnedFd) -> io::Result<()> {
    for (name, value) in PLAIN {
        fsconfig_set_string(context, name, value).map_err(|error| fsmount::explain(context, error))?;
    }
    Ok(())
}

/// The path itself, or a short name for it.
fn fitting(path: &Path, held: &mut Vec<OwnedFd>) -> io::Result<PathBuf> {
    if path.as_os_str().len() <= LONGEST_VALUE { Ok(path.to_owned()) } else { by_descriptor(path, held) }
}

/// A name through a descriptor, which must be held until the overlay is mounted.
fn by_descriptor(path: &Path, held: &mut Vec<OwnedFd>) -> io::Result<PathBuf> {
    let folder = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = format!("/proc/self/fd/{}", folder.as_raw_fd());
    held.push(folder);
    Ok(PathBuf::from(OsStr::new(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use wharf_sys::mount::{Change, propagation};
    use wharf_sys::process::{clone_process, namespace};

    /// Both ways, in a mount namespace of their own.
    #[test]
    fn old_and_new_kernels_mount_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let layers: Vec<PathBuf> = (0..100).map(|number| path(&format!("{}{number}:\\,", "long".repeat(30)))).collect();
        for (number, layer) in layers.iter().enumerate() {
            fs::create_dir(layer).unwrap();
            fs::write(layer.join("same"), number.to_string()).unwrap();
            fs::write(layer.join(format!("own-{number}")), "").unwrap();
        }
        type Mounting = fn(&[PathBuf], &Path, &Path, bool) -> io::Result<Detached>;
        let check = |mount: Mounting, name: &str, volatile: bool| {
            let (upper, work) = (path(&format!("{name}-upper")), path(&format!("{name}-work")));
            fs::create_dir(&upper).unwrap();
            fs::create_dir(&work).unwrap();
            let mounted = mount(&layers, &upper, &work, volatile).unwrap();
            let root = format!("/proc/self/fd/{}", mounted.fd().as_raw_fd());
            assert_eq!(fs::read_to_string(format!("{root}/same")).unwrap(), "0");
            assert!(fs::exists(format!("{root}/own-99")).unwrap());
            fs::write(format!("{root}/same"), "changed").unwrap();
            assert_eq!(fs::read_to_string(upper.join("same")).unwrap(), "changed");
            // The kernel's own mark: such a work folder is not mounted a second time.
            assert_eq!(work.join("work/incompat/volatile").exists(), volatile, "{name}");
        };
        let child = || {
            let host = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            fsmount::change(&host, Change { propagation: propagation::PRIVATE, ..Change::default() }, true).unwrap();
            check(joined, "joined", false);
            check(one_by_one, "one", false);
            check(joined, "joined-volatile", true);
            check(one_by_one, "one-volatile", true);
            0
        };
        let (pid, pidfd) = clone_process(namespace::MOUNT, None, child).unwrap();
        assert_eq!(crate::Child::new(pid, pidfd).wait().unwrap(), 0);
    }
}
