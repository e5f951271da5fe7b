//! Files of an engine that has no containers.

use std::path::{Path, PathBuf};

/// Folders that hold one entry for each container, volume or transfer, and are empty where there is none.
const EMPTY_IN_ROOT: [&str; 3] = ["containers", "content/ingest", "layers"];
const EMPTY_IN_RUN: [&str; 1] = ["c"];
/// Folders of a store itself; those that hold what is being made or removed must be empty too.
const FURNITURE: [&str; 3] = [".trash", "ingest", "sha256"];

/// What is left in folders that should be empty by now, and what is half-made or half-removed.
pub(super) fn stray(root: &Path, run: &Path) -> Vec<String> {
    let folders =
        EMPTY_IN_ROOT.iter().map(|name| root.join(name)).chain(EMPTY_IN_RUN.iter().map(|name| run.join(name)));
    let found: Vec<PathBuf> = folders.flat_map(|folder| strays_in(&folder)).collect();
    found.iter().map(|path| format!("file {}", path.display())).collect()
}

fn strays_in(folder: &Path) -> Vec<PathBuf> {
    let (furniture, mut strays): (Vec<_>, Vec<_>) = entries(folder).into_iter().partition(|path| is_furniture(path));
    for path in furniture.iter().filter(|path| !path.ends_with("sha256")) {
        strays.extend(entries(path));
    }
    strays
}

fn is_furniture(path: &Path) -> bool {
    FURNITURE.contains(&name_of(path).as_str())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
