//! Results that go to the client: files in its folder, or a stream.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use tokio::sync::mpsc;
use wharf_engine::image::Images;
use wharf_types::{Error, Result, ResultExt};

use crate::filesync::go_mode;
use crate::grpc::{Code, Received, Sent, Status};
use crate::proto::{BytesMessage, Packet, Stat, packet};
use crate::session::Caller;

const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// How much goes into one message.
const PIECE: usize = 32 << 10;

/// Sends a tree into the client's folder.
pub(crate) async fn folder(caller: &Arc<Caller>, number: usize, root: Option<OwnedFd>) -> Result<(), Status> {
    let (sent, mut received) = open(caller, number)?;
    let root = Arc::new(root);
    let listed = Arc::clone(&root);
    let listing = tokio::task::spawn_blocking(move || match &*listed {
        None => Ok(Vec::new()),
        Some(root) => {
            let mut stats = Vec::new();
            list(root.as_fd(), "", &mut stats, &mut BTreeMap::new()).context("cannot read the result")?;
            Ok::<_, Error>(stats)
        }
    });
    let stats = listing.await.map_err(|error| Status::new(Code::Internal, error.to_string()))??;
    let paths: Vec<String> = stats.iter().map(|stat| stat.path.clone()).collect();
    let send = async {
        for stat in stats {
            sent.send(&Packet { kind: packet::STAT, stat: Some(stat), ..Packet::default() }).await?;
        }
        sent.send(&Packet { kind: packet::STAT, ..Packet::default() }).await
    };
    // What is wanted is asked for while the list goes out.
    let (asked, mut wanted) = mpsc::unbounded_channel();
    let listen = async {
        while let Some(packet) = received.next::<Packet>().await? {
            match packet.kind {
                // The other end lives as long as this one.
                packet::REQUEST => asked.send(Some(packet.id)).unwrap_or_default(),
                packet::FINISH => {
                    asked.send(None).unwrap_or_default();
                    return Ok(());
                }
                packet::ERROR => {
                    return Err(Status::new(Code::Unknown, String::from_utf8_lossy(&packet.data).into_owned()));
                }
                _ => {}
            }
        }
        Err(Status::new(Code::Unavailable, "the client broke off"))
    };
    let answer = async {
        send.await?;
        while let Some(Some(id)) = wanted.recv().await {
            let path = paths.get(id as usize).ok_or_else(|| Status::new(Code::InvalidArgument, "no such file"))?;
            send_file(&sent, &root, path, id).await?;
        }
        sent.send(&Packet { kind: packet::FINISH, ..Packet::default() }).await
    };
    tokio::try_join!(listen, answer)?;
    drop(sent);
    while received.next::<Packet>().await?.is_some() {}
    Ok(())
}

async fn send_file(sent: &Sent, root: &Arc<Option<OwnedFd>>, path: &str, id: u32) -> Result<(), Status> {
    let (sender, mut receiver) = mpsc::channel::<Vec<u8>>(8);
    let (root, path) = (Arc::clone(root), path.to_owned());
    let reading = tokio::task::spawn_blocking(move || {
        let Some(root) = &*root else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = wharf_sys::path::open_in_root(root, path.as_str(), flags, Mode::empty());
        let mut file = File::from(opened.with_context(|| format!("cannot open {path}"))?);
        loop {
            let mut piece = vec![0; PIECE];
            let length = file.read(&mut piece).with_context(|| format!("cannot read {path}"))?;
            piece.truncate(length);
            if length == 0 || sender.blocking_send(piece).is_err() {
                return Ok::<_, Error>(());
            }
        }
    });
    while let Some(data) = receiver.recv().await {
        sent.send(&Packet { kind: packet::DATA, id, data, ..Packet::default() }).await?;
    }
    reading.await.map_err(|error| Status::new(Code::Internal, error.to_string()))??;
    sent.send(&Packet { kind: packet::DATA, id, ..Packet::default() }).await
}

/// Everything below a folder, in the order that clients demand: by path, part by part.
fn list(
    folder: BorrowedFd<'_>,
    inner: &str,
    stats: &mut Vec<Stat>,
    links: &mut BTreeMap<(u64, u64), String>,
) -> io::Result<()> {
    let mut names: Vec<_> = Dir::read_from(folder)?
        .filter_map(|entry| entry.map(|entry| entry.file_name().to_owned()).ok())
        .filter(|name| &**name != c"." && &**name != c"..")
        .collect();
    names.sort_unstable();
    for name in names {
        let stat = rustix::fs::statat(folder, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
        let shown = name.to_string_lossy();
        let path = if inner.is_empty() { shown.into_owned() } else { format!("{inner}/{shown}") };
        stats.push(of_file(folder, &name, &path, &stat, links)?);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            list(rustix::fs::openat(folder, &*name, flags, Mode::empty())?.as_fd(), &path, stats, links)?;
        }
    }
    Ok(())
}

fn of_file(
    folder: BorrowedFd<'_>,
    name: &CStr,
    path: &str,
    stat: &rustix::fs::Stat,
    links: &mut BTreeMap<(u64, u64), String>,
) -> io::Result<Stat> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let seconds: i64 = stat.st_mtime;
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let mut told = Stat {
        path: path.to_owned(),
        mode: go_mode(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: if kind == FileType::RegularFile { stat.st_size } else { 0 },
        mtime: seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
        ..Stat::default()
    };
    match kind {
        FileType::Symlink => {
            told.link = rustix::fs::readlinkat(folder, name, Vec::new())?.to_string_lossy().into_owned();
        }
        FileType::CharacterDevice | FileType::BlockDevice => {
            told.major = i64::from(rustix::fs::major(stat.st_rdev));
            told.minor = i64::from(rustix::fs::minor(stat.st_rdev));
        }
        FileType::RegularFile if stat.st_nlink > 1 => match links.entry((stat.st_dev, stat.st_ino)) {
            std::collections::btree_map::Entry::Occupied(first) => told.link.clone_from(first.get()),
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(path.to_owned())),
        },
        _ => {}
    }
    Ok(told)
}

/// Writes a tree as a tar.
pub(crate) fn tar(root: Option<OwnedFd>, mut out: Pipe) -> Result<()> {
    match root {
        Some(root) => wharf_engine::build::write_tar(root.as_fd(), &mut out)?,
        None => out.write_all(&[0; 1024]).context("cannot write the archive")?,
    }
    out.flush().context("cannot write the archive")
}

/// Sends what `write` writes.
pub(crate) async fn stream(
    caller: &Arc<Caller>,
    number: usize,
    write: impl FnOnce(Pipe) -> Result<()> + Send + 'static,
) -> Result<(), Status> {
    let (sender, receiver) = mpsc::channel(8);
    let writing = tokio::task::spawn_blocking(move || write(Pipe { sender, piece: Vec::with_capacity(PIECE) }));
    let pumped = pump(caller, number, receiver).await;
    writing.await.map_err(|error| Status::new(Code::Internal, error.to_string()))??;
    pumped
}

/// Sends images as an archive.
pub(crate) async fn archive(
    caller: &Arc<Caller>,
    number: usize,
    images: Images,
    names: Vec<String>,
) -> Result<(), Status> {
    let (sender, receiver) = mpsc::channel(8);
    let writing = tokio::spawn(async move { images.save(names, None, Pipe { sender, piece: Vec::new() }).await });
    let pumped = pump(caller, number, receiver).await;
    writing.await.map_err(|error| Status::new(Code::Internal, error.to_string()))??;
    pumped
}

async fn pump(caller: &Arc<Caller>, number: usize, mut receiver: mpsc::Receiver<Vec<u8>>) -> Result<(), Status> {
    let (sent, mut received) = open(caller, number)?;
    while let Some(data) = receiver.recv().await {
        if sent.send(&BytesMessage { data }).await.is_err() {
            break;
        }
    }
    drop(sent);
    // The client ends when it has written everything, or says why it could not.
    while received.next::<BytesMessage>().await?.is_some() {}
    Ok(())
}

fn open(caller: &Arc<Caller>, number: usize) -> Result<(Sent, Received), Status> {
    if !caller.answers(METHOD) {
        return Err(Status::new(Code::InvalidArgument, "the client takes no files"));
    }
    let number = number.to_string();
    caller.channel.open(METHOD, &[("buildkit-attachable-exporter-id", number.as_str())])
}

/// Collects what is written into messages.
pub(crate) struct Pipe {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(PIECE)];
        self.piece.extend_from_slice(taken);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client takes no more");
        self.sender.blocking_send(piece).map_err(gone)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Whoever wrote to the end has flushed; the rest of a broken stream is lost anyway.
        drop(self.flush());
    }
}
