//! Which paths a source means.

use std::os::fd::AsFd;

use rustix::fs::{FileType, OFlags};
use wharf_types::{Error, Result, ResultExt};

use super::{Tree, join, names};
use crate::ignore::clean;
use crate::pattern::{Glob, is_pattern, path_match};

/// A path that a source means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// From the tree's root, without a leading slash; empty for the root itself.
    pub path: String,
    /// What of it `--parents` keeps: all of it, or what follows `/./`.
    pub kept: String,
    /// Whether it is a folder, links followed.
    pub is_folder: bool,
}

impl Selected {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Finds what `source` means in a tree: one path, or all that match a pattern.
///
/// # Errors
/// `NotFound` where there is nothing.
pub fn select(tree: &Tree, source: &str, parents: bool) -> Result<Vec<Selected>> {
    let pivot = if parents { source.find("/./") } else { None };
    let base = pivot.map_or(String::new(), |at| relative(&source[..at]));
    let path = relative(source);
    if outside(source) {
        return Err(Error::invalid(format!("forbidden path outside the build context: {source}"))
            .with_hint("a source is a path below the context; give the folder above as a named context"));
    }
    let mut found = Vec::new();
    if is_pattern(&path) {
        let parts: Vec<&str> = path.split('/').collect();
        expand(tree, String::new(), &parts, parents, &mut found)?;
        found.sort();
        found.dedup();
    } else if !tree.skips(&path) {
        found.push(path);
    }
    let mut selected = Vec::new();
    for path in found {
        let Ok(fd) = tree.open(&path, OFlags::PATH) else { continue };
        let stat = rustix::fs::fstat(&fd).map_err(std::io::Error::from).context("cannot examine a source")?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let kept = path.strip_prefix(&format!("{base}/")).unwrap_or(&path).to_owned();
        selected.push(Selected { path, kept, is_folder });
    }
    if selected.is_empty() && !is_pattern(source) {
        return Err(Error::not_found(format!("{source:?}: not found")).with_hint(
            "the path is below the context (or the stage that --from names), and .dockerignore must not exclude it",
        ));
    }
    Ok(selected)
}

/// A source as a path from the root.
fn relative(source: &str) -> String {
    let clean = clean(&format!("/{source}"));
    clean.trim_start_matches('/').to_owned()
}

/// Whether `..` leads above the root.
fn outside(source: &str) -> bool {
    let mut depth = 0i32;
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 && !source.starts_with('/') {
            return true;
        }
    }
    false
}

fn expand(tree: &Tree, folder: String, parts: &[&str], deep: bool, found: &mut Vec<String>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        found.push(folder);
        return Ok(());
    };
    if !is_pattern(part) {
        let path = join(&folder, part);
        let exists = tree.open(&path, OFlags::PATH).is_ok() && !tree.skips(&path);
        return if exists { expand(tree, path, rest, deep, found) } else { Ok(()) };
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(fd) = tree.open(&folder, flags) else { return Ok(()) };
    let any_depth = deep && *part == "**";
    if any_depth {
        expand(tree, folder.clone(), rest, deep, found)?;
    }
    for name in names(fd.as_fd()).with_context(|| format!("cannot read the folder {folder:?}"))? {
        let Ok(name) = name.to_str() else { continue };
        let path = join(&folder, name);
        if tree.skips(&path) {
            continue;
        }
        if any_depth {
            if tree.open(&path, flags | OFlags::NOFOLLOW).is_ok() {
                expand(tree, path, parts, deep, found)?;
            }
            continue;
        }
        let matches =
            path_match(part, name).map_err(|_| Error::invalid(format!("syntax error in pattern {part:?}")))?;
        if matches {
            expand(tree, path, rest, deep, found)?;
        }
    }
    Ok(())
}

/// `--exclude`: relative to each source.
pub(super) struct Excludes(Vec<Glob>);

impl Excludes {
    pub(super) fn new(patterns: &[String]) -> Result<Self> {
        let glob = |pattern: &String| {
            let clean = clean(pattern.trim_start_matches('/'));
            Glob::new(&clean).map_err(|_| Error::invalid(format!("syntax error in pattern {pattern:?}")))
        };
        patterns.iter().map(glob).collect::<Result<Vec<_>>>().map(Self)
    }

    pub(super) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(path))
    }
}
