//! The layer store: one folder per diff id, each independent of the others, in overlay's own form.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use wharf_types::{Digest, Error, Result, ResultExt};

use crate::compression::decompress;
use crate::dir::DIR_FLAGS;
use crate::pipeline::Pipeline;
use crate::tar::{Extractor, Limits, Outcome, Reader, Style};
use crate::temporary::{Grave, Temporary};
use crate::{ContentStore, Usage};
use crate::{dir, removal};

pub(crate) const FILES: &str = "fs";
const INFO: &str = "layer.json";

/// What is known of an unpacked layer; kept beside its files as `layer.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// SHA-256 of the uncompressed tar stream.
    pub diff_id: Digest,
    /// Sum of the sizes of the regular files in bytes, as Docker counts a layer.
    pub size: u64,
    /// Number of entries in the tar stream.
    pub entries: u64,
    /// Whether the layer hides all layers below it, which overlay itself cannot express for the root.
    #[serde(default)]
    pub opaque_root: bool,
}

/// Unpacked layers: `sha256/<hex>/fs` is the folder for overlay, `sha256/<hex>/layer.json` a [`LayerInfo`].
///
/// The folder around the files belongs to its owner alone, so nobody on the host runs a set-uid program of a layer.
/// All methods take `&self` and may be called from several threads; layers unpack in parallel. Only one process may
/// have the store open.
pub struct LayerStore {
    path: PathBuf,
    layers: OwnedFd,
    ingest: Arc<OwnedFd>,
    known: Mutex<HashMap<Digest, LayerInfo>>,
    /// Space on disk in bytes, as far as somebody has asked.
    measured: Mutex<HashMap<Digest, u64>>,
}

impl LayerStore {
    /// Opens the store in folder `root`, making it where it is missing, and removes what a crash left half-made.
    pub fn open(root: &Path) -> Result<Self> {
        let fd = dir::open_or_create(root)?;
        let layers = dir::subdir(fd.as_fd(), "sha256", 0o700)?;
        let ingest = dir::subdir(fd.as_fd(), "ingest", 0o700)?;
        let leftovers = removal::remove_contents(ingest.try_clone().context("cannot copy a descriptor")?);
        leftovers.map_err(io::Error::from).context("cannot remove unfinished layers")?;
        Ok(Self {
            path: root.to_owned(),
            layers,
            ingest: Arc::new(ingest),
            known: Mutex::default(),
            measured: Mutex::default(),
        })
    }

    /// Unpacks a tar stream (plain, gzip, zstd, xz or bzip2) into a temporary folder and computes its diff id. A second
    /// thread decompresses and hashes meanwhile.
    ///
    /// # Errors
    /// `Corrupt` for a broken or truncated stream or one that is not `expected`, `InvalidParameter` for entries that
    /// no layer may have.
    pub fn unpack(&self, stream: impl Read + Send, expected: Option<Digest>, limits: &Limits) -> Result<StagedLayer> {
        let (temporary, folder) = Temporary::folder(&self.ingest)?;
        let (files, umask) = make_files(folder.as_fd()).map_err(io::Error::from).context("cannot create a layer")?;
        let (outcome, entries, diff_id) = std::thread::scope(|scope| {
            let pipeline = Pipeline::start(scope, decompress(stream)?.1).context("cannot start a thread")?;
            let mut reader = Reader::new(pipeline, limits);
            let outcome = Extractor::new(files.as_fd(), Style::Layer { umask }).run(&mut reader)?;
            let entries = reader.entries();
            Ok::<_, Error>((outcome, entries, reader.finish(expected.is_some())?.digest()?))
        })?;
        if let Some(expected) = expected.filter(|expected| *expected != diff_id) {
            return Err(Error::corrupt(format!("the layer has the diff id {diff_id} instead of {expected}")));
        }
        let Outcome { size, opaque_root } = outcome;
        let info = LayerInfo { diff_id, size, entries, opaque_root };
        write_info(folder.as_fd(), &info).context("cannot describe a layer")?;
        Ok(StagedLayer { temporary, info })
    }

    /// Makes a layer of a folder in overlay's own form, as overlay left it in its upper folder, by moving it.
    ///
    /// `folder` has to be on the file system of this store; `info` has to be what [`crate::tar::layer`] said of it.
    ///
    /// # Errors
    /// Those of the file system; the folder may then be gone.
    pub fn adopt(&self, folder: &Path, info: LayerInfo) -> Result<StagedLayer> {
        let (temporary, parent) = Temporary::folder(&self.ingest)?;
        let moved = rustix::fs::renameat(rustix::fs::CWD, folder, &parent, FILES).map_err(io::Error::from);
        moved.with_context(|| format!("cannot take over {}", folder.display()))?;
        write_info(parent.as_fd(), &info).context("cannot describe a layer")?;
        Ok(StagedLayer { temporary, info })
    }

    /// Makes a layer present without making it durable: whoever does this calls [`LayerStore::sync`] before anything that
    /// outlasts a loss of power refers to it, and removes it where that never came about.
    pub fn present_unsynced(&self, layer: &StagedLayer) -> Result<()> {
        self.rename(layer).map(drop)
    }

    /// Makes staged layers durable with one `syncfs`, then present. Layers that are already there are dropped.
    pub fn publish(&self, layers: Vec<StagedLayer>) -> Result<()> {
        if layers.iter().all(|layer| self.has(&layer.info.diff_id)) {
            return Ok(());
        }
        self.sync()?;
        self.publish_synced(layers)
    }

    /// Makes durable all that was written to the file system of this store (`syncfs`).
    pub fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.layers).map_err(io::Error::from).context("cannot sync the layers")
    }

    /// Whether the blobs are on the same file system, so that one sync makes both durable.
    pub fn shares_disk(&self, content: &ContentStore) -> Result<bool> {
        let device = |fd| rustix::fs::fstat(fd).map(|stat| stat.st_dev).map_err(io::Error::from);
        let devices = device(self.layers.as_fd()).and_then(|layers| Ok((layers, device(content.as_fd())?)));
        let (layers, content) = devices.context("cannot examine the stores")?;
        Ok(layers == content)
    }

    /// As [`LayerStore::publish`] after [`LayerStore::sync`] was already called.
    pub fn publish_synced(&self, layers: Vec<StagedLayer>) -> Result<()> {
        let mut renamed = false;
        for layer in layers {
            renamed |= self.rename(&layer)?;
        }
        if renamed { dir::sync_names(self.layers.as_fd()) } else { Ok(()) }
    }

    /// `false` when the layer was there already.
    fn rename(&self, layer: &StagedLayer) -> Result<bool> {
        let (from, diff_id) = (&layer.temporary, &layer.info.diff_id);
        match rustix::fs::renameat(from.parent(), from.name(), &self.layers, diff_id.hex()) {
            Ok(()) => {
                self.known().insert(*diff_id, layer.info);
                Ok(true)
            }
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(io::Error::from(error)).with_context(|| format!("cannot store layer {diff_id}")),
        }
    }

    /// Whether the layer is present.
    pub fn has(&self, diff_id: &Digest) -> bool {
        rustix::fs::statat(&self.layers, diff_id.hex(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The layer's folder for overlay, whether or not it is present.
    pub fn path(&self, diff_id: &Digest) -> PathBuf {
        self.path.join("sha256").join(diff_id.hex()).join(FILES)
    }

    /// The folders for overlay of a stack of layers, given base first, returned topmost first. A layer that hides all
    /// below it ends the list. Of a layer that comes twice the upper one counts, which hides all of the lower one;
    /// overlay takes no folder twice.
    pub fn stack(&self, diff_ids: &[Digest]) -> Vec<PathBuf> {
        let mut paths = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids.iter().rev() {
            let path = self.path(diff_id);
            if !paths.contains(&path) {
                paths.push(path);
            }
            if self.info(diff_id).is_ok_and(|info| info.opaque_root) {
                break;
            }
        }
        paths
    }

    /// What is known of a layer; `NotFound` where it is missing. Remembered, so the second time costs nothing.
    pub fn info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        if let Some(info) = self.known().get(diff_id) {
            return Ok(*info);
        }
        let info = self.read_info(diff_id)?;
        self.known().insert(*diff_id, info);
        Ok(info)
    }

    fn read_info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = format!("{}/{INFO}", diff_id.hex());
        let file = match rustix::fs::openat(&self.layers, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Err(Error::not_found(format!("layer {diff_id} is not in the store"))),
            Err(error) => return Err(io::Error::from(error)).with_context(|| format!("cannot open layer {diff_id}")),
        };
        serde_json::from_reader(file)
            .map_err(|error| Error::corrupt(format!("the description of layer {diff_id} is damaged")).caused_by(error))
    }

    /// Space that a layer takes on disk in bytes, as `du` counts it. It is measured once; a layer does not change.
    pub fn disk_usage(&self, diff_id: &Digest) -> Result<u64> {
        let measured = || self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(disk) = measured().get(diff_id) {
            return Ok(*disk);
        }
        let disk = Usage::of(self.open_layer(diff_id, ".")?.as_fd())?.disk;
        measured().insert(*diff_id, disk);
        Ok(disk)
    }

    /// Forgets what was measured, for something was written beside the layer or it is gone.
    pub(crate) fn forget_measure(&self, diff_id: &Digest) {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).remove(diff_id);
    }

    /// Removes a layer; one that is missing is fine.
    pub fn remove(&self, diff_id: &Digest) -> Result<()> {
        let removed = self.take_out(diff_id)?.map_or(Ok(()), Grave::delete).map_err(io::Error::from);
        removed.with_context(|| format!("cannot remove layer {diff_id}"))
    }

    /// Takes a layer out of sight at once; it is deleted when the [`Grave`] is dropped. `None` where it is missing.
    pub fn take_out(&self, diff_id: &Digest) -> Result<Option<Grave>> {
        self.known().remove(diff_id);
        self.forget_measure(diff_id);
        let grave = Grave::dig(&self.ingest, self.layers.as_fd(), &diff_id.hex()).map_err(io::Error::from);
        grave.with_context(|| format!("cannot remove layer {diff_id}"))
    }

    /// The diff ids of all layers, in no particular order.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let names = dir::entries(self.layers.as_fd()).map_err(io::Error::from).context("cannot list the layers")?;
        Ok(names.iter().filter_map(|(name, _)| Digest::from_hex(name.to_str().ok()?).ok()).collect())
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.layers.as_fd()
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, HashMap<Digest, LayerInfo>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the folder for the files and finds out which mode bits the umask takes away (or a default list adds).
fn make_files(layer: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, u32)> {
    rustix::fs::mkdirat(layer, FILES, Mode::from_raw_mode(0o777))?;
    let files = rustix::fs::openat(layer, FILES, DIR_FLAGS, Mode::empty())?;
    let umask = 0o777 & !rustix::fs::fstat(&files)?.st_mode;
    rustix::fs::fchmod(&files, Mode::from_raw_mode(0o755))?;
    Ok((files, umask))
}

fn write_info(layer: BorrowedFd<'_>, info: &LayerInfo) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(layer, INFO, flags, Mode::from_raw_mode(0o644))?;
    File::from(fd).write_all(&serde_json::to_vec(info)?)
}

/// A completely unpacked layer that is not yet present in the store. Dropped unpublished, it leaves nothing.
pub struct StagedLayer {
    pub(crate) temporary: Temporary,
    pub(crate) info: LayerInfo,
}

impl StagedLayer {
    /// Diff id and sizes.
    pub fn info(&self) -> LayerInfo {
        self.info
    }
}
