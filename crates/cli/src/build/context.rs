//! Sending a context: first what is in it, then what of that the engine does not have.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tar::{Builder, EntryType, Header};
use wharf_api::build::{ContextEntry, ContextList};
use wharf_build::ignore::Ignore;
use wharf_client::Client;
use wharf_types::Digest;

use super::canonical;
use crate::failure::{Failure, Outcome};
use crate::output::source;

/// A context that has arrived.
pub struct Sent {
    /// Under which name to build with it.
    pub id: String,
    /// Bytes of the files that were sent.
    pub bytes: i64,
    /// How long it took.
    pub seconds: f64,
}

/// A folder's `.dockerignore`; empty where there is none.
pub fn ignore_of(folder: &Path) -> Outcome<String> {
    match fs::read_to_string(folder.join(".dockerignore")) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::new(format!("error reading .dockerignore: {}", crate::output::os_error(&error)))),
    }
}

/// Sends a folder.
pub async fn send(client: &Client, folder: &Path, ignore: String, always: &[String]) -> Outcome<Sent> {
    let begun = Instant::now();
    let folder = canonical(folder);
    let ignore =
        Ignore::parse(&ignore).map_err(|error| Failure::new(format!("error reading .dockerignore: {error}")))?;
    let mut list = ContextList::default();
    list_folder(&folder, "", &ignore, always, &mut list.entries)
        .map_err(|error| Failure::new(format!("cannot read the context: {}", crate::output::os_error(&error))))?;
    let key = Digest::of(format!("{}\n{}", host(), folder.display()).as_bytes()).hex();
    let missing = client.build_compare(&key, &list).await?;
    let entries: Vec<ContextEntry> =
        missing.missing.iter().filter_map(|number| list.entries.get(*number).cloned()).collect();
    let bytes = entries.iter().map(|entry| entry.size).sum::<u64>();
    if !entries.is_empty() {
        let upload = source::from_thread(move |send| {
            let mut pieces = Pieces { send, piece: Vec::new() };
            pack(&folder, &entries, &mut pieces)?;
            pieces.flush()
        });
        client.build_fill(&missing.id, upload).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Sent { id: missing.id, bytes: i64::try_from(bytes).unwrap_or(i64::MAX), seconds })
}

/// Contexts of other hosts may have the same path.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn list_folder(
    root: &Path,
    inner: &str,
    ignore: &Ignore,
    always: &[String],
    entries: &mut Vec<ContextEntry>,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(root.join(inner))?.collect::<io::Result<Vec<_>>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for name in names {
        let text = name.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the name {name:?} is not valid UTF-8"))
        })?;
        let path = if inner.is_empty() { text } else { format!("{inner}/{text}") };
        let data = name.metadata()?;
        let excluded = !ignore.is_empty() && ignore.excludes(&path) && !always.contains(&path);
        if data.is_dir() {
            if excluded && ignore.prunes(&path) {
                continue;
            }
            let before = entries.len();
            if !excluded {
                entries.push(entry(root, path.clone(), &data)?);
            }
            list_folder(root, &path, ignore, always, entries)?;
            if excluded && entries.len() > before {
                // Something in it came back, and needs it.
                entries.insert(before, entry(root, path, &data)?);
            }
        } else if !excluded && (data.is_file() || data.is_symlink()) {
            entries.push(entry(root, path, &data)?);
        }
    }
    Ok(())
}

fn entry(root: &Path, path: String, data: &fs::Metadata) -> io::Result<ContextEntry> {
    let link = match data.is_symlink() {
        true => Some(fs::read_link(root.join(&path))?.to_string_lossy().into_owned()),
        false => None,
    };
    let mtime = data.mtime().saturating_mul(1_000_000_000).saturating_add(data.mtime_nsec());
    Ok(ContextEntry {
        path,
        mode: data.mode(),
        size: if data.is_file() { data.len() } else { 0 },
        mtime: if data.is_dir() { 0 } else { mtime },
        link,
    })
}

/// Collects what is written into pieces.
struct Pieces<'a> {
    send: &'a mut dyn FnMut(Vec<u8>) -> io::Result<()>,
    piece: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const PIECE: usize = 256 * 1024;
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            (self.send)(std::mem::take(&mut self.piece))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { (self.send)(std::mem::take(&mut self.piece)) }
    }
}

fn pack(folder: &Path, entries: &[ContextEntry], out: &mut dyn Write) -> io::Result<()> {
    let mut builder = Builder::new(out);
    for entry in entries {
        let path: PathBuf = folder.join(&entry.path);
        let data = fs::symlink_metadata(&path)?;
        let mut header = Header::new_gnu();
        header.set_mode(data.permissions().mode() & 0o7777);
        header.set_mtime(u64::try_from(data.mtime()).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        if data.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, &entry.path, fs::read_link(&path)?)?;
        } else if data.is_dir() {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, &entry.path, io::empty())?;
        } else {
            header.set_entry_type(EntryType::Regular);
            header.set_size(data.len());
            // A file that grows meanwhile must not break the archive; one that shrinks does.
            let content = io::Read::take(File::open(&path)?, data.len());
            builder.append_data(&mut header, &entry.path, content)?;
        }
    }
    builder.finish()
}
