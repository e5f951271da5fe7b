//! The members of an image archive, staged as blobs while the archive streams by: no member name ever becomes a path.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use wharf_storage::tar::{Entry, EntryKind, Limits, Reader, clean_path};
use wharf_storage::{ContentStore, StagedBlob, decompress};
use wharf_types::{Digest, Error, Result, ResultExt};

/// Members of an image archive at most; the largest real ones have a few hundred.
const MAX_MEMBERS: u64 = 50_000;
/// Links to links to …: at most so many.
const MAX_LINKS: usize = 16;
/// How often the progress is told, in bytes.
const STEP: u64 = 1 << 20;

/// Where blobs are in an OCI layout.
pub(crate) const BLOBS: &str = "blobs/sha256/";

enum Member {
    Blob(StagedBlob),
    /// The name of another member.
    Link(String),
}

/// All members by name.
pub(crate) struct Archive {
    members: HashMap<String, Member>,
}

impl Archive {
    /// Reads a whole archive, plain or compressed. `progress` hears how many bytes of the plain archive were read.
    pub(crate) fn read(content: &ContentStore, stream: impl Read + Send, progress: &dyn Fn(u64)) -> Result<Self> {
        let (_, plain) = decompress(stream)?;
        let limits = Limits { entries: MAX_MEMBERS, ..Limits::default() };
        let mut reader = Reader::new(plain, &limits);
        let mut members = HashMap::new();
        while let Some(entry) = reader.next_entry()? {
            let Ok(name) = String::from_utf8(clean_path(&entry.path)?) else { continue };
            if let Some(member) = read_member(content, &entry, &name, &mut reader, progress)? {
                members.insert(name, member);
            }
        }
        reader.end()?;
        Ok(Self { members })
    }

    /// The file with this name, through links.
    pub(crate) fn find(&self, name: &str) -> Option<&StagedBlob> {
        let mut name = name;
        for _ in 0..MAX_LINKS {
            match self.members.get(name)? {
                Member::Blob(blob) => return Some(blob),
                Member::Link(target) => name = target,
            }
        }
        None
    }

    /// As [`Archive::find`] for a member that must be there. The name comes from within the archive.
    pub(crate) fn member(&self, name: &str) -> Result<&StagedBlob> {
        let clean = clean_path(name.as_bytes())?;
        let found = String::from_utf8(clean).ok().and_then(|name| self.find(&name));
        found.ok_or_else(|| {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(300).collect();
            Error::invalid(format!("the archive has no member {shown}"))
                .with_hint("it may have been copied or written incompletely")
        })
    }

    /// A blob of an OCI layout.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<&StagedBlob> {
        self.member(&format!("{BLOBS}{}", digest.hex()))
    }

    /// The bytes of a small member.
    pub(crate) fn bytes(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        read_small(self.member(name)?, limit).with_context(|| format!("cannot read member {name} of the archive"))
    }

    /// A small member that holds JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str, limit: u64) -> Result<T> {
        parse(&self.bytes(name, limit)?, name)
    }

    /// Takes out the blobs with these digests, each once; the others are deleted.
    pub(crate) fn into_blobs(self, wanted: &HashSet<Digest>) -> Vec<StagedBlob> {
        let mut blobs = HashMap::new();
        for member in self.members.into_values() {
            if let Member::Blob(blob) = member
                && wanted.contains(&blob.info().digest)
            {
                blobs.insert(blob.info().digest, blob);
            }
        }
        blobs.into_values().collect()
    }
}

/// Reads JSON of the member `name`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::invalid(format!("member {name} of the archive cannot be read")).caused_by(error))
}

/// All bytes of a staged blob of at most `limit` bytes.
pub(crate) fn read_small(blob: &StagedBlob, limit: u64) -> Result<Vec<u8>> {
    if blob.info().size > limit {
        return Err(Error::invalid(format!("it is larger than the {limit} bytes allowed for it")));
    }
    let mut bytes = Vec::new();
    blob.reader()?.read_to_end(&mut bytes).context("cannot read staged content")?;
    Ok(bytes)
}

fn read_member<R: Read>(
    content: &ContentStore,
    entry: &Entry,
    name: &str,
    reader: &mut Reader<R>,
    progress: &dyn Fn(u64),
) -> Result<Option<Member>> {
    Ok(match entry.kind {
        EntryKind::File => Some(Member::Blob(stage(content, entry, name, reader, progress)?)),
        EntryKind::Symlink => {
            let folder = name.rfind('/').map_or("", |slash| &name[..slash]);
            let is_absolute = entry.link.starts_with(b"/");
            let target = if is_absolute { entry.link.clone() } else { [folder.as_bytes(), &entry.link].join(&b'/') };
            link(&target)?
        }
        EntryKind::HardLink => link(&entry.link)?,
        _ => None,
    })
}

fn link(target: &[u8]) -> Result<Option<Member>> {
    Ok(String::from_utf8(clean_path(target)?).ok().map(Member::Link))
}

fn stage<R: Read>(
    content: &ContentStore,
    entry: &Entry,
    name: &str,
    reader: &mut Reader<R>,
    progress: &dyn Fn(u64),
) -> Result<StagedBlob> {
    if entry.sparse.is_some() {
        return Err(Error::invalid(format!("member {name} of the archive is a sparse file")));
    }
    let mut ingest = content.ingest()?;
    let mut told = reader.offset();
    while let Some(bytes) = reader.data().with_context(|| format!("member {name}"))? {
        ingest.write_all(bytes).with_context(|| format!("cannot store member {name} of the archive"))?;
        if reader.offset() - told >= STEP {
            told = reader.offset();
            progress(told);
        }
    }
    progress(reader.offset());
    ingest.finish(promised_digest(name), None).with_context(|| format!("member {name} of the archive is damaged"))
}

/// What a member's own name says about its content.
fn promised_digest(name: &str) -> Option<Digest> {
    let digits = name.strip_prefix(BLOBS).or_else(|| name.strip_suffix(".json"))?;
    Digest::from_hex(digits).ok()
}
