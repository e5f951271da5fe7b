//! `RUN --mount`.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Gid, Mode, Uid};
use wharf_storage::Snapshot;
use wharf_types::{Digest, Error, Result, ResultExt};

use super::{State, Step, blocking};
use crate::cache::{Record, RecordKind, now};
use crate::dockerfile::{Mount, MountKind, Sharing};
use crate::files::{self, Placed, Target, Tree, fingerprint, select};
use crate::host::{Host, StepMount, StepSource};
use crate::plan::{FilesFrom, NodeId, RunOp};

/// Mounts, ready.
pub(super) struct Prepared {
    pub mounts: Vec<StepMount>,
    /// Variables that come with them: secrets and the agent's socket.
    pub env: Vec<String>,
    /// Locks and folders for as long as the command runs.
    pub held: Vec<Box<dyn Send + Sync>>,
}

impl Step {
    /// What each mount means for the key: the content of binds, the names of everything else.
    pub(super) async fn describe_mounts(&self, op: &RunOp, inputs: &BTreeMap<NodeId, State>) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for (mount, from) in &op.mounts {
            let content = match (mount.kind, from) {
                (MountKind::Bind, Some(from)) => Some(self.bound(mount, from, inputs).await?),
                _ => None,
            };
            let Mount { kind, source, target, readonly, id, sharing, size, mode, uid, gid, env, .. } = mount;
            let name = kind.name();
            all.push(format!(
                "{name} {source:?} {target:?} {readonly} {id:?} {sharing:?} {size:?} {mode:?} {uid:?} {gid:?} {env:?} {content:?}"
            ));
        }
        Ok(all)
    }

    async fn bound(&self, mount: &Mount, from: &FilesFrom, inputs: &BTreeMap<NodeId, State>) -> Result<Digest> {
        let whole = mount.source.is_empty() || mount.source == "/";
        if let (FilesFrom::Node(id), true) = (from, whole) {
            return Ok(inputs[id].chain);
        }
        let tree = self.tree(from, inputs, true).await?;
        let source = mount.source.clone();
        blocking(move || {
            let tree = tree.ok_or_else(|| Error::not_found(format!("{source:?}: not found")))?;
            let selected = select(&tree, &source, false)?;
            fingerprint(&tree, &selected, false, &[])
        })
        .await
    }

    pub(super) async fn prepare_mounts(&self, op: &RunOp, inputs: &BTreeMap<NodeId, State>) -> Result<Prepared> {
        let mut prepared = Prepared { mounts: Vec::new(), env: Vec::new(), held: Vec::new() };
        let mut agents = 0;
        for (mount, from) in &op.mounts {
            match mount.kind {
                MountKind::Bind => self.bind(mount, from.as_ref(), inputs, &mut prepared).await?,
                MountKind::Cache => self.cache_mount(mount, from.as_ref(), inputs, &mut prepared).await?,
                MountKind::Secret => self.secret(mount, &mut prepared).await?,
                MountKind::Ssh => {
                    self.agent(mount, agents, &mut prepared).await?;
                    agents += 1;
                }
                MountKind::Tmpfs => prepared.mounts.push(StepMount {
                    destination: mount.target.clone(),
                    source: StepSource::Tmpfs(mount.size),
                    readonly: false,
                }),
            }
        }
        // Parents before what is mounted inside them.
        prepared.mounts.sort_by_key(|mount| mount.destination.matches('/').count());
        Ok(prepared)
    }

    async fn bind(
        &self,
        mount: &Mount,
        from: Option<&FilesFrom>,
        inputs: &BTreeMap<NodeId, State>,
        prepared: &mut Prepared,
    ) -> Result<()> {
        let context = FilesFrom::Context(String::new());
        let folders = match from.unwrap_or(&context) {
            FilesFrom::Context(name) => vec![self.solver.session.files(name).await?.path],
            FilesFrom::Node(id) => inputs[id].stack(self.solver.host.images()),
        };
        let (host, source, readonly) = (Arc::clone(&self.solver.host), mount.source.clone(), mount.readonly);
        let (source, guard) = blocking(move || stacked(&*host, &folders, &source, readonly)).await?;
        prepared.held.extend(guard);
        // Writes go to a folder of their own and are lost.
        let readonly = mount.readonly;
        prepared.mounts.push(StepMount { destination: mount.target.clone(), source, readonly });
        Ok(())
    }

    async fn cache_mount(
        &self,
        mount: &Mount,
        from: Option<&FilesFrom>,
        inputs: &BTreeMap<NodeId, State>,
        prepared: &mut Prepared,
    ) -> Result<()> {
        let id = mount.id.clone().unwrap_or_else(|| mount.target.clone());
        let mut number = 0u32;
        let key = loop {
            let name = if number == 0 { format!("cache-mount {id}") } else { format!("cache-mount {id} {number}") };
            let key = Digest::of(name.as_bytes());
            match mount.sharing {
                Sharing::Shared => break key,
                Sharing::Locked => {
                    prepared.held.push(Box::new(self.solver.cache.turn(&key).await));
                    break key;
                }
                Sharing::Private => match self.solver.cache.try_turn(&key) {
                    Some(turn) => {
                        prepared.held.push(Box::new(turn));
                        break key;
                    }
                    None => number += 1,
                },
            }
        };
        let folder = self.solver.host.cache_mounts().join(key.hex());
        let tree = match from {
            Some(from) => self.tree(from, inputs, true).await?,
            None => None,
        };
        let (wanted, at) = (mount.clone(), folder.clone());
        blocking(move || make_cache(&at, &wanted, tree.as_ref())).await?;
        let pin = match self.solver.cache.find(&key) {
            Some((_, pin)) => pin,
            None => self.solver.cache.put(
                Record {
                    key,
                    kind: RecordKind::CacheMount,
                    parent: None,
                    layer: None,
                    description: format!("cached mount {} with id {id:?}", mount.target),
                    created: now(),
                    used: now(),
                    uses: 1,
                    folder: Some(folder.display().to_string()),
                    unsynced_boot: None,
                },
                None,
            ),
        };
        prepared.held.push(Box::new(pin));
        let source = StepSource::Bind(folder);
        prepared.mounts.push(StepMount { destination: mount.target.clone(), source, readonly: mount.readonly });
        Ok(())
    }

    async fn secret(&self, mount: &Mount, prepared: &mut Prepared) -> Result<()> {
        let id = mount.id.clone().unwrap_or_default();
        let Some(content) = self.solver.session.secret(&id).await? else {
            return match mount.required {
                true => Err(Error::not_found(format!("secret {id}: not found"))
                    .with_hint(format!("give it with --secret id={id},src=FILE or id={id},env=VARIABLE"))),
                false => Ok(()),
            };
        };
        if let Some(name) = &mount.env {
            prepared.env.push(format!("{name}={}", String::from_utf8_lossy(&content)));
        }
        if mount.env.is_none() || !mount.target.is_empty() {
            let target = if mount.target.is_empty() { format!("/run/secrets/{id}") } else { mount.target.clone() };
            let (mode, uid, gid) = (mount.mode.unwrap_or(0o400), mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
            let source = StepSource::Secret(content, mode, uid, gid);
            prepared.mounts.push(StepMount { destination: target, source, readonly: true });
        }
        Ok(())
    }

    async fn agent(&self, mount: &Mount, number: usize, prepared: &mut Prepared) -> Result<()> {
        let id = mount.id.clone().unwrap_or_else(|| "default".to_owned());
        let Some(path) = self.solver.session.ssh_agent(&id).await? else {
            return match mount.required {
                true => Err(Error::not_found(format!("no SSH key {id:?} forwarded from the client"))
                    .with_hint(format!("give it with --ssh {id}"))),
                false => Ok(()),
            };
        };
        let is_socket = std::fs::metadata(&path).is_ok_and(|data| data.file_type().is_socket());
        if !is_socket {
            return Err(Error::invalid(format!("{} is no socket of an SSH agent", path.display())));
        }
        let target = match mount.target.as_str() {
            "" => format!("/run/buildkit/ssh_agent.{number}"),
            target => target.to_owned(),
        };
        if number == 0 {
            prepared.env.push(format!("SSH_AUTH_SOCK={target}"));
        }
        prepared.mounts.push(StepMount { destination: target, source: StepSource::Bind(path), readonly: false });
        Ok(())
    }
}

/// Makes a cache's folder where it is missing, with what it begins with.
fn make_cache(folder: &Path, mount: &Mount, from: Option<&Tree>) -> Result<()> {
    if folder.exists() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
    std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o700))
        .context("cannot protect the cache mounts")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let fd = std::fs::File::open(folder).context("cannot open a cache mount")?;
    if let Some(tree) = from {
        let selected = select(tree, &mount.source, false)?;
        let things: Vec<Placed<'_>> = selected.iter().map(|item| Placed::Path(tree, item)).collect();
        let target = Target {
            root: fd.as_fd(),
            destination: "/",
            owner: None,
            chmod: None,
            epoch: None,
            parents: false,
            excludes: &[],
            unpack: false,
        };
        files::place(&target, &things, false)?;
    }
    let (uid, gid) = (Uid::from_raw(mount.uid.unwrap_or(0)), Gid::from_raw(mount.gid.unwrap_or(0)));
    rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(std::io::Error::from).context("cannot give a cache away")?;
    let mode = Mode::from_raw_mode(mount.mode.unwrap_or(0o755));
    rustix::fs::fchmod(&fd, mode).map_err(std::io::Error::from).context("cannot set the mode of a cache")
}

/// A path within folders on top of each other as something that can be mounted.
fn stacked(
    host: &dyn Host,
    folders: &[PathBuf],
    source: &str,
    readonly: bool,
) -> Result<(StepSource, Option<Box<dyn Send + Sync>>)> {
    let path = crate::ignore::clean(&format!("/{source}"));
    let found = find_in_stack(folders, path.trim_start_matches('/'))?;
    let is_file = found.first().is_some_and(|path| !path.is_dir());
    if found.is_empty() {
        if !matches!(path.as_str(), "/") {
            return Err(Error::not_found(format!("{path:?}: not found")));
        }
        let scratch = host.scratch()?;
        return Ok((StepSource::Bind(scratch.snapshot.upper.clone()), Some(scratch.guard)));
    }
    if is_file || readonly && found.len() == 1 {
        return Ok((StepSource::Bind(found[0].clone()), None));
    }
    if readonly {
        return Ok((StepSource::Stack(found, None), None));
    }
    let scratch = host.scratch()?;
    let Snapshot { upper, work, dir } = scratch.snapshot;
    Ok((StepSource::Stack(found, Some(Snapshot { dir, upper, work })), Some(scratch.guard)))
}

/// The folders (or the one file) that make up `path` in a stack of layers, topmost first.
fn find_in_stack(folders: &[PathBuf], path: &str) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    'layers: for folder in folders {
        let mut at = folder.clone();
        let mut hides = false;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at.push(part);
            let Ok(data) = std::fs::symlink_metadata(&at) else {
                if hides {
                    break 'layers;
                }
                continue 'layers;
            };
            let is_whiteout = data.file_type().is_char_device() && data.rdev() == 0;
            if is_whiteout {
                break 'layers;
            }
            if data.file_type().is_symlink() {
                return Err(Error::not_implemented(format!(
                    "/{path} leads over a symbolic link, which cannot be mounted"
                ))
                .with_hint("name the place that it points to"));
            }
            if data.is_file() {
                if found.is_empty() {
                    found.push(at);
                }
                break 'layers;
            }
            let mut value = [0; 8];
            hides |= rustix::fs::getxattr(&at, c"trusted.overlay.opaque", &mut value[..])
                .is_ok_and(|len| &value[..len] == b"y");
        }
        found.push(at);
        if hides {
            break;
        }
    }
    Ok(found)
}
