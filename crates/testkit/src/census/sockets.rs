//! Unix sockets that somebody still has bound, from /proc/net/unix.

use std::path::Path;

/// Bound sockets below `folder`.
pub(super) fn below(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let folder = folder.display().to_string();
    let bound = table.lines().filter_map(|line| line.split_whitespace().nth(7));
    bound.filter(|path| path.starts_with(&folder)).map(|path| format!("unix socket {path}")).collect()
}
