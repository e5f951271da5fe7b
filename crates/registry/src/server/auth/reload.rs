//! Files that are read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use wharf_types::{Result, ResultExt};

/// How often a file is looked at, at most.
const INTERVAL: Duration = Duration::from_secs(1);

type Stamp = Option<(SystemTime, u64)>;
type Read<T> = Box<dyn Fn(&Path) -> Result<T> + Send + Sync>;

/// What was read from some files. A change that makes no sense is reported, and the last good version counts.
pub struct Reloaded<T> {
    paths: Vec<PathBuf>,
    read: Read<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl<T> Reloaded<T> {
    /// Reads the first of the files, and again whenever one of them changes.
    pub fn open(paths: &[&Path], read: impl Fn(&Path) -> Result<T> + Send + Sync + 'static) -> Result<Self> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
        let stamps = paths.iter().map(|path| stamp(path)).collect();
        let value = Arc::new(read(&paths[0])?);
        let state = Mutex::new(State { value, stamps, looked: Instant::now() });
        Ok(Self { paths, read: Box::new(read), state })
    }

    /// The present version.
    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= INTERVAL {
            state.looked = Instant::now();
            let stamps: Vec<Stamp> = self.paths.iter().map(|path| stamp(path)).collect();
            if stamps != state.stamps {
                match (self.read)(&self.paths[0]) {
                    Ok(value) => {
                        state.value = Arc::new(value);
                        tracing::info!(file = %self.paths[0].display(), "read again, because it has changed");
                    }
                    Err(error) => tracing::error!(error = error.chain(), "a changed file is ignored"),
                }
                state.stamps = stamps;
            }
        }
        Arc::clone(&state.value)
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A file's text, with a sentence where it cannot be read.
pub(super) fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
