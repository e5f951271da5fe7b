//! The record of a container's end, in its monitor's folder.

use std::fs;
use std::io;
use std::path::Path;

use wharf_types::{Error, Result, ResultExt};

use crate::protocol::Exit;

const NAME: &str = "exit.json";

/// Writes the record so that nobody ever sees half of it. No fsync: the folder is gone after a reboot anyway.
pub(crate) fn write_exit(run_dir: &Path, exit: &Exit) -> Result<()> {
    let partial = run_dir.join(".exit.json.tmp");
    let json = serde_json::to_vec(exit).map_err(io::Error::from).context("cannot encode the exit record")?;
    let written = fs::write(&partial, json).and_then(|()| fs::rename(&partial, run_dir.join(NAME)));
    written.with_context(|| format!("cannot write the exit record in {}", run_dir.display()))
}

/// The record of the container whose monitor's folder is `run_dir`; `None` if it has not ended, or its monitor was killed.
///
/// # Errors
/// The record is there but cannot be read.
pub fn read_exit(run_dir: &Path) -> Result<Option<Exit>> {
    let path = run_dir.join(NAME);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|error| Error::corrupt(format!("the exit record {} is damaged", path.display())).caused_by(error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the exit record {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_exit(folder.path()).unwrap(), None);
        let finished_at = "2026-01-01T00:00:00.000000001Z".to_owned();
        let exit = Exit { code: 137, oom_killed: true, finished_at, problems: vec!["x".to_owned()] };
        write_exit(folder.path(), &exit).unwrap();
        assert_eq!(read_exit(folder.path()).unwrap(), Some(exit));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(folder.path().join(NAME), "{").unwrap();
        assert_eq!(read_exit(folder.path()).unwrap_err().kind(), wharf_types::Kind::Corrupt);
    }
}
