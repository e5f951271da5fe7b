//! Layer blobs that are not kept: noted beside the unpacked layer is what gives the very same bytes again.
//!
//! A blob is given up only after a trial: it was made anew from the files and compared byte by byte. That works for plain
//! layers and for zstd by libzstd at its usual levels. What another program's compressor made is mostly beyond it, gzip
//! always (the output of every implementation differs, and of some from run to run); then the blob stays, unless some
//! registry has it: noted is in which repositories, and whoever wants the bytes fetches them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use serde::{Deserialize, Serialize};
use wharf_types::{Digest, Error, Result, ResultExt};

use crate::compression::{Compression, decompress};
use crate::dir::{self, DIR_FLAGS};
use crate::layers::FILES;
use crate::tar::{Joined, Limits, split};
use crate::{BlobInfo, LayerStore};

/// Headers of the tar stream and everything else that no file holds.
const SPLIT: &str = "split";
/// How much is compared at once, in bytes.
const PIECE: usize = 128 * 1024;

/// How the tar stream of a layer becomes its blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "packing", rename_all = "camelCase")]
enum Packing {
    Plain,
    Zstd {
        level: i32,
        checksum: bool,
    },
    /// Nobody here knows how, but these repositories (`registry/path`) had the blob when it was given up.
    Elsewhere {
        repositories: Vec<String>,
    },
}

/// What is known of a blob that can be made anew.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    size: u64,
    #[serde(flatten)]
    packing: Packing,
}

impl LayerStore {
    /// Finds out how the blob of a layer can be made anew from the unpacked layer and notes it durably; `false` where
    /// it cannot. `open` opens the blob.
    pub fn note_blob(&self, diff_id: &Digest, blob: BlobInfo, open: &dyn Fn() -> Result<File>) -> Result<bool> {
        if self.can_rebuild(diff_id, &blob.digest) {
            return Ok(true);
        }
        let candidates = candidates(open()?)?;
        if candidates.is_empty() {
            return Ok(false);
        }
        self.note_split(diff_id, open)?;
        for packing in candidates {
            if is_same(self.pack(diff_id, &packing)?, open()?)? {
                self.write_note(diff_id, blob, packing)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes durably in which repositories (`registry/path`) a blob can be had that cannot be made anew, and what is
    /// needed to compare the unpacked layer with its diff id without the blob. `open` opens the blob.
    pub fn note_repositories(
        &self,
        diff_id: &Digest,
        blob: BlobInfo,
        repositories: Vec<String>,
        open: &dyn Fn() -> Result<File>,
    ) -> Result<()> {
        self.note_split(diff_id, open)?;
        self.write_note(diff_id, blob, Packing::Elsewhere { repositories })
    }

    fn note_split(&self, diff_id: &Digest, open: &dyn Fn() -> Result<File>) -> Result<()> {
        let folder = self.open_layer(diff_id, ".")?;
        if has_file(&folder, SPLIT) {
            return Ok(());
        }
        let files = self.open_layer(diff_id, FILES)?;
        let (_, stream) = decompress(open()?)?;
        write_file(&folder, SPLIT, |file| split(stream, files.as_fd(), &Limits::default(), file))
    }

    fn write_note(&self, diff_id: &Digest, blob: BlobInfo, packing: Packing) -> Result<()> {
        let note = serde_json::to_vec(&Note { size: blob.size, packing }).map_err(io::Error::from);
        let note = note.context("cannot note how a layer is packed")?;
        let write = |mut file: File| file.write_all(&note).context("cannot note how a layer is packed");
        let written = write_file(&self.open_layer(diff_id, ".")?, &note_of(&blob.digest), write);
        self.forget_measure(diff_id);
        written
    }

    /// Whether there is a note on a blob: it can be made anew, or be had elsewhere.
    pub fn has_note(&self, diff_id: &Digest, blob: &Digest) -> bool {
        self.open_layer(diff_id, ".").is_ok_and(|folder| has_file(&folder, &note_of(blob)))
    }

    /// Forgets what was noted on a blob, so that it counts as missing.
    pub fn forget_note(&self, diff_id: &Digest, blob: &Digest) -> Result<()> {
        let folder = self.open_layer(diff_id, ".")?;
        match rustix::fs::unlinkat(&folder, note_of(blob), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(io::Error::from(error)).context("cannot remove a note on a layer"),
        }
    }

    /// Whether the blob of a layer can be made anew.
    pub fn can_rebuild(&self, diff_id: &Digest, blob: &Digest) -> bool {
        self.note(diff_id, blob).is_ok_and(|note| !matches!(note.packing, Packing::Elsewhere { .. }))
    }

    /// The repositories (`registry/path`) that had a blob when it was given up; none where it was not, or can be made
    /// anew.
    pub fn repositories(&self, diff_id: &Digest, blob: &Digest) -> Vec<String> {
        match self.note(diff_id, blob) {
            Ok(Note { packing: Packing::Elsewhere { repositories }, .. }) => repositories,
            _ => Vec::new(),
        }
    }

    /// The size in bytes of a blob on which there is a note; `NotFound` where there is none.
    pub fn rebuilt_size(&self, diff_id: &Digest, blob: &Digest) -> Result<u64> {
        Ok(self.note(diff_id, blob)?.size)
    }

    /// The blob of a layer, made anew as it is read. Whoever reads it compares the digest: the unpacked layer may have
    /// been damaged since.
    pub fn rebuild(&self, diff_id: &Digest, blob: &Digest) -> Result<Box<dyn Read + Send>> {
        self.pack(diff_id, &self.note(diff_id, blob)?.packing)
    }

    /// The plain tar stream of a layer, made anew where some blob of it was given up; `NotFound` otherwise.
    pub fn rebuild_tar(&self, diff_id: &Digest) -> Result<Box<dyn Read + Send>> {
        self.pack(diff_id, &Packing::Plain)
    }

    fn note(&self, diff_id: &Digest, blob: &Digest) -> Result<Note> {
        let file = open_file(&self.open_layer(diff_id, ".")?, &note_of(blob))?;
        serde_json::from_reader(file)
            .map_err(|error| Error::corrupt(format!("the note on blob {blob} is damaged")).caused_by(error))
    }

    fn pack(&self, diff_id: &Digest, packing: &Packing) -> Result<Box<dyn Read + Send>> {
        let records = open_file(&self.open_layer(diff_id, ".")?, SPLIT)?;
        let tar = Joined::new(records, self.open_layer(diff_id, FILES)?).context("cannot start zstd")?;
        Ok(match packing {
            Packing::Plain => Box::new(tar),
            Packing::Zstd { level, checksum } => {
                let mut encoder = zstd::stream::read::Encoder::new(tar, *level).context("cannot start zstd")?;
                encoder.include_checksum(*checksum).context("cannot start zstd")?;
                Box::new(encoder)
            }
            Packing::Elsewhere { repositories } => return Err(must_be_fetched(repositories)),
        })
    }
}

fn must_be_fetched(repositories: &[String]) -> Error {
    Error::unavailable(format!("the layer's blob was given up and must be fetched from {}", repositories.join(", ")))
}

fn note_of(blob: &Digest) -> String {
    format!("blob-{}", blob.hex())
}

/// Whether a file beside the unpacked layer is one of these notes.
pub(crate) fn is_note(name: &[u8]) -> bool {
    name == SPLIT.as_bytes() || name.starts_with(b"blob-") && !name.ends_with(b".new")
}

fn has_file(folder: &OwnedFd, name: &str) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn open_file(folder: &OwnedFd, name: &str) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(io::Error::from);
    fd.map(File::from).context("there are no notes on how to make the layer's blob anew")
}

/// Writes a file beside an unpacked layer: aside, durable, then in place.
pub(crate) fn write_file(folder: &OwnedFd, name: &str, write: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let aside = format!("{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, &*aside, flags, Mode::from_raw_mode(0o644)).map_err(io::Error::from);
    let file = File::from(fd.with_context(|| format!("cannot write {name} of a layer"))?);
    let kept = file.try_clone().context("cannot copy a descriptor")?;
    write(file)?;
    let publish = || -> io::Result<()> {
        kept.sync_data()?;
        Ok(rustix::fs::renameat(folder, &*aside, folder, name)?)
    };
    publish().with_context(|| format!("cannot write {name} of a layer"))?;
    dir::sync_names(folder.as_fd())
}

/// How the blob may have been packed, the likeliest first.
fn candidates(blob: File) -> Result<Vec<Packing>> {
    let zstd = |(level, checksum)| Packing::Zstd { level, checksum };
    Ok(match Compression::peek(blob)?.0 {
        Compression::None => vec![Packing::Plain],
        Compression::Zstd => [(3, false), (3, true), (1, false), (1, true)].map(zstd).to_vec(),
        Compression::Gzip | Compression::Xz | Compression::Bzip2 => Vec::new(),
    })
}

/// Whether two streams are the same; ends at the first difference.
fn is_same(mut made: impl Read, mut blob: impl Read) -> Result<bool> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut compare = || -> io::Result<bool> {
        loop {
            let len = read_full(&mut made, &mut left)?;
            if len != read_full(&mut blob, &mut right)? || left[..len] != right[..len] {
                return Ok(false);
            }
            if len == 0 {
                return Ok(true);
            }
        }
    };
    compare().context("cannot make a layer's blob anew")
}

fn read_full(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match stream.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

impl LayerStore {
    /// A folder of a layer: `.` for the layer's own.
    pub(crate) fn open_layer(&self, diff_id: &Digest, name: &str) -> Result<OwnedFd> {
        let path = format!("{}/{name}", diff_id.hex());
        match rustix::fs::openat(self.as_fd(), path, DIR_FLAGS, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => Err(Error::not_found(format!("layer {diff_id} is not in the store"))),
            opened => opened.map_err(io::Error::from).with_context(|| format!("cannot open layer {diff_id}")),
        }
    }
}
