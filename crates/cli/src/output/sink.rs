//! Where archives are written to: a file, which appears only when it is complete, or standard output.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use wharf_client::ByteStream;

use crate::failure::{Failure, Outcome};

/// A file under another name until it is complete, or standard output.
pub struct Sink {
    target: Option<Target>,
}

struct Target {
    file: File,
    path: PathBuf,
    temporary: Option<PathBuf>,
}

impl Sink {
    /// Opens the file, or standard output unless that is a terminal.
    pub fn open(path: Option<&str>, program: &str) -> Outcome<Self> {
        match path.filter(|path| !path.is_empty()) {
            Some(path) => Ok(Self { target: Some(Target::create(Path::new(path))?) }),
            None if super::is_terminal() => {
                Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect")
                    .with_hint(format!("for example: {program} save -o image.tar IMAGE")))
            }
            None => Ok(Self { target: None }),
        }
    }

    /// Writes all that comes.
    pub async fn fill(mut self, bytes: &mut ByteStream) -> Outcome<()> {
        while let Some(piece) = bytes.next().await {
            self.write(&piece?)?;
        }
        match self.target.take() {
            Some(target) => target.finish(),
            None => super::out_bytes(b""),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        match &mut self.target {
            Some(target) => target.file.write_all(bytes).map_err(|error| target.failed(&error)),
            None => super::out_bytes(bytes),
        }
    }
}

impl Target {
    fn create(path: &Path) -> Outcome<Self> {
        let failed =
            |error: std::io::Error| Failure::new(format!("open {}: {}", path.display(), super::os_error(&error)));
        let special = std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
        if special {
            // A pipe or device is written to as it is; a folder makes this fail.
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            return Ok(Self { file, path: path.to_owned(), temporary: None });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), temporary: Some(temporary) })
    }

    fn finish(mut self) -> Outcome<()> {
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.path).map_err(|error| self.failed(&error))?;
            self.temporary = None;
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::new(format!("write {}: {}", self.path.display(), super::os_error(error)))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
