//! Files from the client's folders: first what there is, then what is wanted of it.
//!
//! The client lists everything as packets, in order; a file is asked for by its number in that list. What is asked for comes
//! interleaved, so only so much is asked for at a time as may be held in memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;
use wharf_api::build::ContextEntry;
use wharf_engine::build::{ContextLease, Contexts};
use wharf_types::{Digest, Error, Result};

use crate::grpc::{Received, Sent};
use crate::proto::{Packet, Stat, packet};
use crate::session::Caller;

const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// How many bytes of files may be asked for at once, beyond the first.
const AHEAD: u64 = 4 << 20;
/// How many files may be asked for at once.
const AHEAD_FILES: usize = 256;
/// The largest single file that is read into memory.
const SMALL: u64 = 16 << 20;

/// What is wanted of a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The folder's name at the client: `context`, `dockerfile`.
    pub folder: String,
    /// Only these.
    pub include: Vec<String>,
    /// But not these, as `.dockerignore` has them.
    pub exclude: Vec<String>,
}

/// Reads some small files.
pub(crate) async fn small(caller: &Caller, wanted: &Wanted) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut transfer = Transfer::open(caller, wanted)?;
    let stats = transfer.stats().await?;
    let mut files = BTreeMap::new();
    for (id, stat) in stats.iter().enumerate().filter(|(_, stat)| is_regular(stat.mode)) {
        if u64::try_from(stat.size).unwrap_or(0) > SMALL {
            return Err(Error::invalid(format!("{} is too large", stat.path)));
        }
        transfer.ask(id).await?;
        let mut content = Vec::new();
        while let Some(data) = transfer.data(id).await? {
            content.extend_from_slice(&data);
        }
        files.insert(stat.path.trim_start_matches('/').to_owned(), content);
    }
    transfer.finish().await?;
    Ok(files)
}

/// Brings the engine's copy of a folder up to date, and answers it with how many bytes were sent.
pub(crate) async fn context(caller: &Caller, wanted: &Wanted, contexts: &Contexts) -> Result<(ContextLease, u64)> {
    let introduction = &caller.introduction;
    let place = if introduction.shared_key.is_empty() { &introduction.id } else { &introduction.shared_key };
    let key = Digest::of(format!("session\n{place}\n{}", wanted.folder).as_bytes()).hex();
    let mut transfer = Transfer::open(caller, wanted)?;
    let stats = transfer.stats().await?;
    let (entries, ids) = entries(&stats);
    let missing = contexts.compare(&key, entries.clone()).await?;
    let mut bytes = 0;
    if !missing.entries.is_empty() {
        let files: Vec<(usize, ContextEntry)> =
            missing.entries.iter().filter_map(|at| dated(&stats, *ids.get(*at)?, entries.get(*at)?)).collect();
        bytes = files.iter().map(|(_, entry)| entry.size).sum();
        let (sender, receiver) = mpsc::channel(16);
        let (contexts, id) = (contexts.clone(), missing.id.clone());
        let filling = tokio::spawn(async move { contexts.fill(&id, Pieces { receiver, piece: Bytes::new() }).await });
        let sent = transfer.pack(&files, sender).await;
        let filled = filling.await.unwrap_or_else(|error| Err(Error::system("a transfer failed").caused_by(error)));
        // Why nothing more was taken says more than that nothing more was taken.
        match (sent, filled) {
            (_, Err(error)) if !matches!(error.kind(), wharf_types::Kind::Corrupt) => return Err(error),
            (Err(error), _) | (_, Err(error)) => return Err(error),
            (Ok(()), Ok(())) => {}
        }
    }
    transfer.finish().await?;
    Ok((contexts.take(&missing.id).await?, bytes))
}

/// An entry with its time, which folders have in an archive although nobody compares them by it.
fn dated(stats: &[Stat], id: usize, entry: &ContextEntry) -> Option<(usize, ContextEntry)> {
    Some((id, ContextEntry { mtime: stats.get(id)?.mtime, ..entry.clone() }))
}

/// What the engine keeps of a list, and under which numbers the client has it.
fn entries(stats: &[Stat]) -> (Vec<ContextEntry>, Vec<usize>) {
    let sizes: HashMap<&str, i64> = stats.iter().map(|stat| (stat.path.as_str(), stat.size)).collect();
    let mut entries = Vec::new();
    let mut ids = Vec::new();
    for (id, stat) in stats.iter().enumerate() {
        let Some(mode) = unix_mode(stat.mode) else { continue };
        let kind = mode & 0o170_000;
        // A second name of a file has the first one's size.
        let linked = stat.link.trim_start_matches('/');
        let size = if kind == REGULAR && !stat.link.is_empty() {
            sizes.get(stat.link.as_str()).or_else(|| sizes.get(linked)).copied().unwrap_or(stat.size)
        } else {
            stat.size
        };
        entries.push(ContextEntry {
            path: stat.path.trim_start_matches('/').to_owned(),
            mode,
            size: if kind == REGULAR { u64::try_from(size).unwrap_or(0) } else { 0 },
            mtime: if kind == FOLDER { 0 } else { stat.mtime },
            link: (kind == LINK).then(|| stat.link.clone()),
        });
        ids.push(id);
    }
    (entries, ids)
}

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// The kinds of file in Go's modes (io/fs).
mod go {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const PIPE: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const KIND: u32 = DIR | SYMLINK | DEVICE | PIPE | SOCKET | CHAR | 1 << 19;
}

fn is_regular(mode: u32) -> bool {
    mode & go::KIND == 0
}

/// From Go's bits to the kernel's; `None` for what no context has.
pub(crate) fn unix_mode(mode: u32) -> Option<u32> {
    let kind = match mode & go::KIND {
        0 => REGULAR,
        go::DIR => FOLDER,
        go::SYMLINK => LINK,
        _ => return None,
    };
    let bit = |go: u32, unix: u32| if mode & go != 0 { unix } else { 0 };
    Some(kind | mode & 0o777 | bit(go::SETUID, 0o4000) | bit(go::SETGID, 0o2000) | bit(go::STICKY, 0o1000))
}

/// And back, for what an image has.
pub(crate) fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        FOLDER => go::DIR,
        LINK => go::SYMLINK,
        0o010_000 => go::PIPE,
        0o140_000 => go::SOCKET,
        0o060_000 => go::DEVICE,
        0o020_000 => go::DEVICE | go::CHAR,
        _ => 0,
    };
    let bit = |unix: u32, go: u32| if mode & unix != 0 { go } else { 0 };
    kind | mode & 0o777 | bit(0o4000, go::SETUID) | bit(0o2000, go::SETGID) | bit(0o1000, go::STICKY)
}

/// One exchange with the client.
struct Transfer {
    sent: Sent,
    received: Received,
    /// What came before its turn, by the file's number; `None` is its end.
    early: HashMap<usize, Vec<Option<Bytes>>>,
}

impl Transfer {
    fn open(caller: &Caller, wanted: &Wanted) -> Result<Self> {
        let mut metadata: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, values: &[String]| {
            let plain = values.iter().all(|value| value.is_ascii());
            if !plain {
                metadata.push((format!("{name}-encoded"), "1".into()));
            }
            for value in values {
                let value = if plain { value.clone() } else { escape(value) };
                metadata.push((name.to_owned(), value));
            }
        };
        add("dir-name", std::slice::from_ref(&wanted.folder));
        add("include-patterns", &wanted.include);
        add("exclude-patterns", &wanted.exclude);
        let metadata: Vec<(&str, &str)> =
            metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (sent, received) = caller.channel.open(METHOD, &metadata).map_err(|status| status.into_error())?;
        Ok(Self { sent, received, early: HashMap::new() })
    }

    async fn packet(&mut self) -> Result<Packet> {
        let packet = self.received.next::<Packet>().await.map_err(|status| status.into_error())?;
        let packet = packet.ok_or_else(|| Error::system("the client ended the transfer early"))?;
        match packet.kind {
            packet::ERROR => {
                let why = String::from_utf8_lossy(&packet.data).into_owned();
                Err(Error::system(format!("the client could not read its files: {why}")))
            }
            _ => Ok(packet),
        }
    }

    /// The whole list.
    async fn stats(&mut self) -> Result<Vec<Stat>> {
        let mut stats = Vec::new();
        loop {
            let packet = self.packet().await?;
            if packet.kind == packet::STAT {
                match packet.stat {
                    Some(stat) => stats.push(stat),
                    None => return Ok(stats),
                }
            }
        }
    }

    async fn ask(&mut self, id: usize) -> Result<()> {
        let id = u32::try_from(id).map_err(|_| Error::invalid("the context has too many files"))?;
        let packet = Packet { kind: packet::REQUEST, id, ..Packet::default() };
        self.sent.send(&packet).await.map_err(|status| status.into_error())
    }

    /// The next part of a file; `None` at its end.
    async fn data(&mut self, id: usize) -> Result<Option<Bytes>> {
        if let Some(early) = self.early.get_mut(&id)
            && !early.is_empty()
        {
            let next = early.remove(0);
            if early.is_empty() {
                self.early.remove(&id);
            }
            return Ok(next);
        }
        loop {
            let packet = self.packet().await?;
            if packet.kind != packet::DATA {
                continue;
            }
            let data = (!packet.data.is_empty()).then(|| Bytes::from(packet.data));
            let of = packet.id as usize;
            if of == id {
                return Ok(data);
            }
            self.early.entry(of).or_default().push(data);
        }
    }

    /// Writes files as a tar, in their order.
    async fn pack(&mut self, files: &[(usize, ContextEntry)], out: mpsc::Sender<Bytes>) -> Result<()> {
        let contents: Vec<&(usize, ContextEntry)> = files.iter().filter(|(_, entry)| has_content(entry)).collect();
        let (mut asked, mut ahead, mut done) = (0, 0, 0);
        let gone = |_| Error::corrupt("the engine took no more of the context");
        for (id, entry) in files {
            out.send(header(entry)?.into()).await.map_err(gone)?;
            if !has_content(entry) {
                continue;
            }
            while let Some((next, file)) = contents.get(asked)
                && (asked == done || (ahead + file.size <= AHEAD && asked - done < AHEAD_FILES))
            {
                self.ask(*next).await?;
                ahead += file.size;
                asked += 1;
            }
            let mut left = entry.size;
            while let Some(data) = self.data(*id).await? {
                left = left.checked_sub(data.len() as u64).ok_or_else(|| changed(entry))?;
                out.send(data).await.map_err(gone)?;
            }
            if left > 0 {
                return Err(changed(entry));
            }
            let padding = usize::try_from((512 - entry.size % 512) % 512).unwrap_or(0);
            out.send(vec![0; padding].into()).await.map_err(gone)?;
            ahead -= entry.size;
            done += 1;
        }
        out.send(vec![0; 1024].into()).await.map_err(gone)
    }

    async fn finish(mut self) -> Result<()> {
        let fin = Packet { kind: packet::FINISH, ..Packet::default() };
        self.sent.send(&fin).await.map_err(|status| status.into_error())?;
        while self.packet().await?.kind != packet::FINISH {}
        Ok(())
    }
}

fn has_content(entry: &ContextEntry) -> bool {
    entry.mode & 0o170_000 == REGULAR && entry.size > 0
}

fn changed(entry: &ContextEntry) -> Error {
    Error::corrupt(format!("{:?} changed while the context was sent", entry.path)).with_hint("build again")
}

/// As `net/url` escapes a query.
fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The head of an entry, with whatever a long name needs.
fn header(entry: &ContextEntry) -> Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode & 0o7777);
    header.set_mtime(u64::try_from(entry.mtime.div_euclid(1_000_000_000)).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(entry.size);
    let mut builder = Builder::new(Vec::new());
    let written = match entry.mode & 0o170_000 {
        LINK => {
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, &entry.path, entry.link.as_deref().unwrap_or_default())
        }
        FOLDER => {
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, &entry.path, io::empty())
        }
        _ => {
            header.set_entry_type(EntryType::Regular);
            builder.append_data(&mut header, &entry.path, io::empty())
        }
    };
    let bytes = written.map(|()| std::mem::take(builder.get_mut()));
    bytes.map_err(|error| Error::invalid(format!("{:?} cannot be sent", entry.path)).caused_by(error))
}

/// What comes through a channel, for those who read where blocking is allowed.
pub(crate) struct Pieces {
    pub(crate) receiver: mpsc::Receiver<Bytes>,
    pub(crate) piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_go_there_and_back() {
        for mode in [0o100_644, 0o104_755, 0o041_777, 0o120_777, 0o042_755] {
            assert_eq!(unix_mode(go_mode(mode)), Some(mode), "{mode:o}");
        }
        assert_eq!(unix_mode(go_mode(0o020_666)), None);
        assert_eq!(go_mode(0o040_755), 1 << 31 | 0o755);
    }

    #[test]
    fn a_second_name_has_the_first_ones_size_and_numbers_are_the_clients() {
        let stat = |path: &str, mode: u32, size: i64, link: &str| Stat {
            path: path.into(),
            mode,
            size,
            link: link.into(),
            ..Stat::default()
        };
        let stats = [
            stat("a", 0o644, 7, ""),
            stat("b", 0o644, 0, "a"),
            stat("pipe", go::PIPE | 0o600, 0, ""),
            stat("l", go::SYMLINK | 0o777, 0, "a"),
        ];
        let (entries, ids) = entries(&stats);
        assert_eq!(ids, [0, 1, 3]);
        assert_eq!((entries[1].size, entries[1].link.clone()), (7, None));
        assert_eq!(entries[2].link.as_deref(), Some("a"));
    }

    #[test]
    fn heads_are_read_by_those_who_read_archives() {
        let path = "a/".repeat(120) + "file";
        let entry =
            ContextEntry { path: path.clone(), mode: REGULAR | 0o640, size: 3, mtime: 5_000_000_000, link: None };
        let mut bytes = header(&entry).unwrap();
        bytes.extend_from_slice(b"abc");
        bytes.extend_from_slice(&[0; 509 + 1024]);
        let mut archive = tar::Archive::new(&*bytes);
        let mut all = archive.entries().unwrap();
        let mut only = all.next().unwrap().unwrap();
        assert_eq!(only.path().unwrap().to_str().unwrap(), path);
        let mut text = String::new();
        only.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), only.header().mtime().unwrap()), ("abc", 5));
        assert!(all.next().is_none());
    }
}
