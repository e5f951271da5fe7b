//! Cgroups of every hierarchy, whether v1, v2 or both are mounted.

use std::path::{Path, PathBuf};

/// The mount points of all hierarchies.
pub fn hierarchies() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then(|| PathBuf::from(point))
    });
    points.collect()
}

/// The cgroup `parent` and all below it.
pub(super) fn below(parent: &str) -> Vec<String> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        let top = hierarchy.join(parent.trim_start_matches('/'));
        if top.is_dir() && top != hierarchy {
            found.push(format!("cgroup {}", top.display()));
            descend(&top, &mut found);
        }
    }
    found
}

/// All cgroups but the roots. Those of systemd's own units come and go and are left out.
pub(super) fn all() -> Vec<String> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        descend(&hierarchy, &mut found);
    }
    found.retain(|line| ![".service", ".scope", ".slice", ".mount"].iter().any(|unit| line.contains(unit)));
    found
}

fn descend(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(format!("cgroup {}", entry.path().display()));
            descend(&entry.path(), found);
        }
    }
}
