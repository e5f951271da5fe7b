//! Compresses a rotated log file in a child process, so that the container's output never waits for it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};
use wharf_sys::process::{clone_process, close_from};

/// A child that compresses one file and ends.
pub(crate) struct Child(OwnedFd);

impl Child {
    /// Whether it has ended; if so it has been reaped.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG), Ok(None))
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) {
        // That there is nothing to wait for is as good.
        let _ = self.reap(WaitIdOptions::EXITED);
    }

    fn reap(&self, options: WaitIdOptions) -> rustix::io::Result<Option<WaitIdStatus>> {
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.0.as_fd()), options))
    }
}

/// Starts compressing `source` into `target`; `source` goes when `target` is complete.
pub(crate) fn start(source: &Path, target: &Path) -> io::Result<Child> {
    let partial = target.with_extension("gz.tmp");
    let (_, pidfd) = clone_process(0, None, || {
        // The streams of the container and of its clients are no business of this child.
        let done = close_from(3).and_then(|()| compress(source, &partial)).and_then(|()| fs::rename(&partial, target));
        let done = done.and_then(|()| fs::remove_file(source));
        i32::from(done.is_err())
    })?;
    Ok(Child(pidfd))
}

fn compress(source: &Path, target: &Path) -> io::Result<()> {
    let mut encoder = GzEncoder::new(File::create(target)?, Compression::fast());
    io::copy(&mut File::open(source)?, &mut encoder)?;
    encoder.finish()?.flush()
}
