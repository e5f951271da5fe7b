//! Files of an engine that has no containers.

use std::path::{Path, PathBuf};

/// Folders that hold one entry for each container, volume or transfer, and are empty where there is none.
const EMPTY_IN_ROOT: [&str; 2] = ["containers", "content/ingest"];
const EMPTY_IN_RUN: [&str; 1] = ["c"];

/// What is left in folders that should be empty by now, and temporary files that nobody finished.
pub(super) fn stray(root: &Path, run: &Path) -> Vec<String> {
    let folders =
        EMPTY_IN_ROOT.iter().map(|name| root.join(name)).chain(EMPTY_IN_RUN.iter().map(|name| run.join(name)));
    let mut found: Vec<PathBuf> = folders.flat_map(|folder| entries(&folder)).collect();
    let half_made = entries(&root.join("layers/sha256")).into_iter().chain(entries(&root.join("layers")));
    found.extend(half_made.filter(|path| is_temporary(path)));
    found.iter().map(|path| format!("file {}", path.display())).collect()
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with('.') || name.contains("tmp")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
