//! Moves a full log file out of the way.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::compress;

/// How a log is rotated, and the child that compresses the file that was rotated last.
pub(crate) struct Rotation {
    /// The file that is written to.
    pub path: PathBuf,
    /// How many files are kept, the one that is written to included.
    pub max_files: u32,
    /// Whether rotated files are compressed.
    pub compress: bool,
    /// The compressing child.
    pub compressor: Option<compress::Child>,
}

impl Rotation {
    /// Whether the compressing child is still at work; reaps it if not. Until then nothing may be renamed.
    pub(crate) fn compressing(&mut self) -> bool {
        self.compressor.take_if(|child| child.has_ended());
        self.compressor.is_some()
    }

    /// Waits until the compressing child has ended.
    pub(crate) fn wait(&mut self) {
        self.compressor.take().iter_mut().for_each(compress::Child::wait);
    }
}

/// Renames `log` to `log.1`, `log.1` to `log.2` and so on, dropping the oldest; empties it if only one file is kept.
pub(crate) fn rotate(rotation: &mut Rotation) -> io::Result<()> {
    let path = &rotation.path;
    if rotation.max_files < 2 {
        return fs::File::options().write(true).truncate(true).open(path).map(drop);
    }
    for number in (1..rotation.max_files - 1).rev() {
        for compressed in [false, true] {
            move_over(&numbered(path, number, compressed), &numbered(path, number + 1, compressed))?;
        }
    }
    let first = numbered(path, 1, false);
    fs::rename(path, &first)?;
    if rotation.compress {
        rotation.compressor = Some(compress::start(&first, &numbered(path, 1, true))?);
    }
    Ok(())
}

/// Renames `from` to `to`; where there is no `from` there must be no `to` either, or a file would be kept for ever.
fn move_over(from: &Path, to: &Path) -> io::Result<()> {
    let missing = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(to).or_else(missing),
        result => result,
    }
}

/// The name of the rotated file with this number, 1 being the newest.
pub(crate) fn numbered(path: &Path, number: u32, compressed: bool) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}{}", if compressed { ".gz" } else { "" }));
    name.into()
}
