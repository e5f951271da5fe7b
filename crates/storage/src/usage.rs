//! Measuring trees by descriptor.

use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use wharf_types::{Result, ResultExt};

use crate::dir::{Descent, entries, inode, is_dir, lstat};

/// How much a tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of the regular files in bytes; a file with several links counts once.
    pub bytes: u64,
    /// Space taken on disk in bytes, folders included.
    pub disk: u64,
    /// Number of inodes.
    pub inodes: u64,
}

impl Usage {
    /// Measures the tree below `root`. What disappears meanwhile is not counted.
    pub fn of(root: BorrowedFd<'_>) -> Result<Self> {
        let measured = measure(root).map_err(std::io::Error::from);
        measured.context("cannot measure a folder")
    }

    fn add(&mut self, stat: &Stat, seen: &mut HashSet<(u64, u64)>) {
        if stat.st_nlink > 1 && !is_dir(stat) && !seen.insert(inode(stat)) {
            return;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            self.bytes += stat.st_size.unsigned_abs();
        }
        self.disk += stat.st_blocks.unsigned_abs() * 512;
        self.inodes += 1;
    }
}

fn measure(root: BorrowedFd<'_>) -> rustix::io::Result<Usage> {
    let (mut usage, mut seen) = (Usage::default(), HashSet::new());
    usage.add(&rustix::fs::fstat(root)?, &mut seen);
    let mut descent = Descent::new(rustix::io::fcntl_dupfd_cloexec(root, 0)?)?;
    let mut pending = vec![measure_files(descent.current(), &mut usage, &mut seen)?];
    while let Some(level) = pending.last_mut() {
        let Some(name) = level.pop() else {
            pending.pop();
            descent.leave()?;
            continue;
        };
        match descent.enter(&name) {
            Ok(()) => pending.push(measure_files(descent.current(), &mut usage, &mut seen)?),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(usage)
}

fn measure_files(
    dir: BorrowedFd<'_>,
    usage: &mut Usage,
    seen: &mut HashSet<(u64, u64)>,
) -> rustix::io::Result<Vec<CString>> {
    let mut folders = Vec::new();
    for (name, _) in entries(dir)? {
        match lstat(dir, &name) {
            Ok(stat) => {
                usage.add(&stat, seen);
                if is_dir(&stat) {
                    folders.push(name);
                }
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(folders)
}
