//! Reading and writing the kernel's one-value files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

/// Opens a file that exists.
pub(super) fn open_to_write(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?)
}

pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Writes a value with one system call, as the kernel wants it.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    let file = open_to_write(path)?;
    rustix::io::write(file, value.as_bytes())?;
    Ok(())
}

/// As [`write()`]; `false` where the kernel has no such file.
pub(super) fn write_if_there(path: &Path, value: &str) -> io::Result<bool> {
    match write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// `None` where there is no such file, or no such cgroup any more.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// A number; `None` where there is no such file, or it says `max`.
pub(super) fn read_number(path: &Path) -> io::Result<Option<u64>> {
    Ok(read_if_there(path)?.and_then(|text| text.trim().parse().ok()))
}

/// Lines of a name and a number.
pub(super) fn read_table(path: &Path) -> io::Result<Vec<(String, u64)>> {
    let text = read_if_there(path)?.unwrap_or_default();
    let row = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(row).collect())
}

/// One number of such a table.
pub(super) fn read_entry(path: &Path, name: &str) -> io::Result<Option<u64>> {
    Ok(read_table(path)?.into_iter().find(|(key, _)| key == name).map(|(_, value)| value))
}

/// Calls `each` for the folder and all below it.
pub(super) fn visit(folder: &Path, each: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    each(folder)?;
    for child in children(folder)? {
        visit(&child, each)?;
    }
    Ok(())
}

fn children(folder: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        other => other?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Removes a cgroup. Only one that has cgroups below is looked into, which is rare and slow.
pub(super) fn remove_with_children(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        other => return other,
    }
    let children = children(folder)?;
    if children.is_empty() {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    children.iter().try_for_each(|child| remove_with_children(child))?;
    match fs::remove_dir(folder) {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}
