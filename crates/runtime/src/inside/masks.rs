//! What a container may not see, may not write, and the kernel parameters it starts with.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs, major, minor};
use wharf_sys::mount::{Change, attribute};
use wharf_sys::path::open_beneath;
use wharf_types::{Error, Result, ResultExt};

use super::destination::find;
use super::fsmount;
use crate::spec::ContainerSpec;

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Writes the kernel parameters, while /proc/sys is still writable.
pub(super) fn set_kernel_parameters(root: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    for (name, value) in &spec.sysctls {
        write_parameter(root, name, value)
            .with_context(|| format!("cannot set kernel parameter {name} to {value:?}"))?;
    }
    Ok(())
}

fn write_parameter(root: &OwnedFd, name: &str, value: &str) -> Result<()> {
    if name.contains("..") {
        return Err(Error::invalid(format!("invalid kernel parameter name: {name:?}")));
    }
    // A dot separates; where a name has slashes already, its dots are part of names (net/ipv4/conf/eth0.1).
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    let file = open_beneath(root, format!("proc/sys/{path}"), OFlags::WRONLY, Mode::empty())?;
    let kind = fstatfs(&file).map_err(io::Error::from)?.f_type;
    if kind as u64 != PROC_SUPER_MAGIC {
        return Err(Error::forbidden("/proc is not the kernel's"));
    }
    rustix::io::write(&file, value.as_bytes()).map_err(io::Error::from)?;
    Ok(())
}

/// Makes the read-only paths read-only, hides the masked ones, and makes the root read-only at last.
pub(super) fn apply(root: &OwnedFd, spec: &ContainerSpec) -> Result<()> {
    for path in &spec.readonly_paths {
        make_readonly(root, path).with_context(|| format!("cannot make {path} read-only"))?;
    }
    let mut curtain = Curtain::default();
    for path in &spec.masked_paths {
        curtain.hide(root, path).with_context(|| format!("cannot mask {path}"))?;
    }
    if spec.readonly_root {
        let readonly = Change { set: attribute::RDONLY, ..Change::default() };
        fsmount::change(root, readonly, false).context("cannot make the root read-only")?;
    }
    Ok(())
}

/// The place at `path`, unless there is none, which is nothing to protect.
fn find_existing(root: &OwnedFd, path: &str) -> io::Result<Option<OwnedFd>> {
    match find(root, path) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_readonly(root: &OwnedFd, path: &str) -> io::Result<()> {
    let Some(place) = find_existing(root, path)? else { return Ok(()) };
    let mut copy = fsmount::copy(&place, Path::new(""), true)?;
    copy.change(Change { set: attribute::RDONLY, ..Change::default() }, false)?;
    copy.attach(&place)?;
    Ok(())
}

/// What masked paths are hidden behind: one empty tmpfs for all folders, one null device for all files.
#[derive(Default)]
struct Curtain {
    folder: Option<OwnedFd>,
    null: Option<OwnedFd>,
}

impl Curtain {
    fn hide(&mut self, root: &OwnedFd, path: &str) -> io::Result<()> {
        let Some(place) = find_existing(root, path)? else { return Ok(()) };
        let is_folder = FileType::from_raw_mode(fstat(&place)?.st_mode).is_dir();
        let source = if is_folder { &mut self.folder } else { &mut self.null };
        let curtain = match source {
            Some(mounted) => fsmount::copy(&*mounted, Path::new(""), false)?,
            None if is_folder => empty_folder()?,
            None => null_device(root)?,
        };
        *source = Some(curtain.attach(place)?);
        Ok(())
    }
}

fn empty_folder() -> io::Result<fsmount::Detached> {
    let parameters = [("source", Some("tmpfs")), ("nr_blocks", Some("1")), ("nr_inodes", Some("1"))];
    fsmount::new("tmpfs", &parameters, attribute::RDONLY)
}

/// The container's own null device, provided that it is one: a link in its place would hide nothing (CVE-2025-31133).
fn null_device(root: &OwnedFd) -> io::Result<fsmount::Detached> {
    let null = find(root, "/dev/null")?;
    let status = fstat(&null)?;
    let is_null = FileType::from_raw_mode(status.st_mode).is_char_device()
        && (major(status.st_rdev), minor(status.st_rdev)) == (1, 3);
    if !is_null {
        return Err(io::Error::other("/dev/null of the container is not the null device"));
    }
    fsmount::copy(&null, Path::new(""), false)
}
