//! `COPY`, `ADD` and `WORKDIR`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use wharf_image::{BuiltLayer, ImageStore};
use wharf_storage::{Lease, Snapshot, overlay};
use wharf_types::{Digest, Error, Result, ResultExt};

use super::{State, Step, Trouble, blocking, key};
use crate::files::{self, Owner, Placed, Selected, Target, Tree, find_owner, fingerprint, select};
use crate::host::Host;
use crate::ignore::Ignore;
use crate::plan::{CopyOp, CopySource, FilesFrom, NodeId};

/// What goes into the key of a copy.
#[derive(Serialize)]
struct CopyKey<'a> {
    op: &'static str,
    chain: Option<Digest>,
    sources: Vec<String>,
    content: Vec<Digest>,
    destination: &'a str,
    chown: &'a Option<String>,
    chmod: &'a Option<String>,
    parents: bool,
    unpack: bool,
    epoch: Option<i64>,
}

/// A source that was found.
enum Found {
    Tree(Tree, Vec<Selected>),
    Text(String, String),
}

/// What a copy is about to do, everything found.
struct Prepared {
    found: Vec<Found>,
    key: Digest,
    /// Downloads live until the copy is done.
    _downloads: Vec<Box<dyn Send + Sync>>,
}

impl Step {
    pub(super) async fn workdir(&self, below: &State, path: &str, user: &str) -> Result<(State, bool), Trouble> {
        let key = key(&("workdir", below.chain, path, user, self.solver.epoch))?;
        let (host, state, epoch) = (Arc::clone(&self.solver.host), below.clone(), self.solver.epoch);
        let (path, user) = (path.to_owned(), user.to_owned());
        let work = async move {
            let made = blocking(move || {
                write_layer(&*host, &state, false, epoch, |root| {
                    let owner = if user.is_empty() { Owner::default() } else { find_owner(root.as_fd(), &user)? };
                    files::make_folder(root.as_fd(), &path, owner, epoch)
                })
            });
            Ok(made.await?)
        };
        self.cached(below, key, work).await
    }

    pub(super) async fn copy(&self, op: &CopyOp, inputs: &BTreeMap<NodeId, State>) -> Result<(State, bool), Trouble> {
        let below = &inputs[&op.input];
        let prepared = self.prepare(op, below, inputs).await?;
        let (host, state, epoch) = (Arc::clone(&self.solver.host), below.clone(), self.solver.epoch);
        let op = op.clone();
        let key = prepared.key;
        let work = async move {
            let made = blocking(move || {
                write_layer(&*host, &state, op.link, epoch, |root| {
                    put(&op, &prepared.found, root, epoch, &*host, &state)
                })
            });
            Ok(made.await?)
        };
        self.cached(below, key, work).await
    }

    /// Finds every source and tells what it is.
    async fn prepare(&self, op: &CopyOp, below: &State, inputs: &BTreeMap<NodeId, State>) -> Result<Prepared> {
        let tree = self.tree(&op.from, inputs, op.sources.iter().any(|source| matches!(source, CopySource::Path(_))));
        let tree = tree.await?;
        let mut downloads: Vec<Box<dyn Send + Sync>> = Vec::new();
        let mut fetched: Vec<(usize, PathBuf, String)> = Vec::new();
        for (at, source) in op.sources.iter().enumerate() {
            let (CopySource::Url(url) | CopySource::Git(url)) = source else { continue };
            let scratch = self.solver.host.scratch()?;
            let folder = scratch.snapshot.upper.clone();
            let name = match source {
                CopySource::Url(_) => {
                    let download = self.solver.host.download(url, folder.clone()).await?;
                    check(op.checksum.as_deref(), &download.path, url)?;
                    download.name
                }
                _ => {
                    let cloned = self.solver.host.clone_repository(url, op.keep_git_dir, folder.clone()).await?;
                    check_commit(op.checksum.as_deref(), &cloned.commit, url)?;
                    cloned.folder
                }
            };
            downloads.push(scratch.guard);
            fetched.push((at, folder, name));
        }
        let (op, chain, epoch) = (op.clone(), below.chain, self.solver.epoch);
        let (found, key) = blocking(move || find(&op, tree.as_ref(), &fetched, chain, epoch)).await?;
        Ok(Prepared { found, key, _downloads: downloads })
    }

    /// The files that are copied from.
    pub(super) async fn tree(
        &self,
        from: &FilesFrom,
        inputs: &BTreeMap<NodeId, State>,
        is_needed: bool,
    ) -> Result<Option<Tree>> {
        match from {
            _ if !is_needed => Ok(None),
            FilesFrom::Context(name) => Ok(Some(self.solver.session.files(name).await?.tree)),
            FilesFrom::Node(id) => {
                let (host, state) = (Arc::clone(&self.solver.host), inputs[id].clone());
                blocking(move || {
                    let stack = state.stack(host.images());
                    if stack.is_empty() {
                        return Ok(None);
                    }
                    overlay::mount_layers(&stack).map(|root| Some(Tree::of_layers(root)))
                })
                .await
            }
        }
    }
}

fn find(
    op: &CopyOp,
    tree: Option<&Tree>,
    fetched: &[(usize, PathBuf, String)],
    chain: Digest,
    epoch: Option<i64>,
) -> Result<(Vec<Found>, Digest)> {
    let mut found = Vec::new();
    let (mut sources, mut content) = (Vec::new(), Vec::new());
    for (at, source) in op.sources.iter().enumerate() {
        let one = match source {
            CopySource::Inline(name, text) => {
                sources.push(format!("text {name:?}"));
                content.push(Digest::of(text.as_bytes()));
                Found::Text(name.clone(), text.clone())
            }
            CopySource::Path(path) => {
                let tree = tree.cloned().ok_or_else(|| Error::not_found(format!("{path:?}: not found")))?;
                let selected = select(&tree, path, op.parents)?;
                Found::Tree(tree, selected)
            }
            CopySource::Url(_) | CopySource::Git(_) => {
                let (_, folder, name) = fetched
                    .iter()
                    .find(|(number, ..)| *number == at)
                    .ok_or_else(|| Error::system("a download was lost"))?;
                let root = open_folder(folder)?;
                let tree = Tree::of_context(root, Ignore::default(), HashMap::new());
                let selected = select(&tree, name, false)?;
                Found::Tree(tree, selected)
            }
        };
        if let Found::Tree(tree, selected) = &one {
            sources.extend(selected.iter().map(|item| {
                let shown = if op.parents {
                    item.kept.as_str()
                } else if item.is_folder {
                    ""
                } else {
                    item.name()
                };
                format!("{} {shown:?}", item.is_folder)
            }));
            content.push(fingerprint(tree, selected, op.parents, &op.excludes)?);
        }
        found.push(one);
    }
    let copy_key = CopyKey {
        op: "copy",
        chain: (!op.link).then_some(chain),
        sources,
        content,
        destination: &op.destination,
        chown: &op.chown,
        chmod: &op.chmod,
        parents: op.parents,
        unpack: op.unpack,
        epoch,
    };
    let key = key(&copy_key)?;
    Ok((found, key))
}

fn put(op: &CopyOp, found: &[Found], root: &OwnedFd, epoch: Option<i64>, host: &dyn Host, below: &State) -> Result<()> {
    let owner = match &op.chown {
        None => None,
        // With --link nothing of the layers below is seen, but names of users still mean theirs.
        Some(text) if op.link && !below.diff_ids.is_empty() => {
            let accounts = overlay::mount_layers(&below.stack(host.images()))?;
            Some(find_owner(accounts.as_fd(), text)?)
        }
        Some(text) => Some(find_owner(root.as_fd(), text)?),
    };
    let mut things = Vec::new();
    for one in found {
        match one {
            Found::Text(name, text) => things.push(Placed::Text(name, text)),
            Found::Tree(tree, selected) => things.extend(selected.iter().map(|item| Placed::Path(tree, item))),
        }
    }
    let remote = op.sources.iter().any(|source| matches!(source, CopySource::Url(_)));
    let target = Target {
        root: root.as_fd(),
        destination: &op.destination,
        owner,
        // A download belongs to root alone unless told otherwise.
        chmod: op.chmod.as_deref().or(if remote && !op.unpack_remote { Some("600") } else { None }),
        epoch,
        parents: op.parents,
        excludes: &op.excludes,
        unpack: if remote { op.unpack_remote } else { op.unpack },
    };
    let several = things.len() > 1;
    files::place(&target, &things, several)
}

/// Lets `write` change a tree and makes a layer of what it changed.
fn write_layer(
    host: &dyn Host,
    below: &State,
    alone: bool,
    epoch: Option<i64>,
    write: impl FnOnce(&OwnedFd) -> Result<()>,
) -> Result<(Option<BuiltLayer>, Lease)> {
    let scratch = host.scratch()?;
    let stack = if alone { Vec::new() } else { below.stack(host.images()) };
    let root = writable(&stack, &scratch.snapshot)?;
    write(&root)?;
    drop(root);
    keep(host.images(), &scratch.snapshot, epoch)
}

/// Makes a layer of what a step wrote.
pub(super) fn keep(store: &ImageStore, snapshot: &Snapshot, epoch: Option<i64>) -> Result<(Option<BuiltLayer>, Lease)> {
    let mut lease = store.begin();
    let layer = store.keep_layer(&snapshot.upper, epoch, &mut lease).context("cannot keep the layer")?;
    Ok((layer, lease))
}

fn writable(stack: &[PathBuf], snapshot: &Snapshot) -> Result<OwnedFd> {
    if stack.is_empty() { open_folder(&snapshot.upper) } else { overlay::mount_container(stack, snapshot, true) }
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    File::open(path).map(OwnedFd::from).with_context(|| format!("cannot open {}", path.display()))
}

/// A checksum of a repository is its commit, or the beginning of it.
fn check_commit(expected: Option<&str>, commit: &str, url: &str) -> Result<()> {
    match expected {
        Some(expected) if expected.len() < 7 || !commit.starts_with(&expected.to_ascii_lowercase()) => {
            Err(Error::corrupt(format!("expected checksum to match {expected}, got {commit}, of {url}")))
        }
        _ => Ok(()),
    }
}

fn check(expected: Option<&str>, path: &Path, url: &str) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let wanted: Digest =
        expected.parse().map_err(|error| Error::invalid(format!("invalid checksum {expected:?}")).caused_by(error))?;
    let mut hasher = wharf_types::Hasher::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    std::io::copy(&mut file, &mut hasher).context("cannot read the download")?;
    let found = hasher.finish();
    match found == wanted {
        true => Ok(()),
        false => Err(Error::corrupt(format!("digest mismatch {wanted}: {found}, of {url}"))),
    }
}
