//! `cp`: files and folders into a container and out of it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use clap::Args;
use tokio::sync::mpsc;
use wharf_api::container::PathStat;
use wharf_client::{ArchivePut, ByteStream, Client, Upload};
use wharf_types::Kind;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::copy::extract::{Root, Target, extract};
use crate::copy::pack::{Source, pack};
use crate::failure::{Failure, Outcome};
use crate::output::{self, size, source};

/// What `cp` takes.
#[derive(Debug, Args)]
pub struct CpFlags {
    /// Keep owners as they are
    #[arg(short, long)]
    archive: bool,
    /// Copy what symbolic links lead to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied
    #[arg(short, long)]
    quiet: bool,
    /// From where and to where
    #[arg(value_name = "PATH")]
    words: Vec<String>,
}

definition! {
    CpFlags, cp,
    names: &["container cp", "cp"],
    about: "Copy files and folders between a container and the host",
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-",
    arity: Arity::Exactly(2),
}

/// One side of a copy.
enum Side<'a> {
    Container(&'a str, &'a str),
    Host(&'a str),
}

async fn cp(app: &App, flags: CpFlags) -> Outcome {
    let (from, to) = (side(&flags.words[0]), side(&flags.words[1]));
    let (bytes, shown) = match (from, to) {
        (Side::Container(..), Side::Container(..)) => {
            return Err(Failure::new("copying between containers is not supported")
                .with_hint("copy to the host first, or pipe: 'cp A:/x -' into 'cp - B:/y'"));
        }
        (Side::Host(_), Side::Host(_)) => {
            return Err(Failure::new("must specify at least one container source or destination"));
        }
        (Side::Container(container, path), Side::Host(to)) => {
            if container.is_empty() || path.is_empty() {
                return Err(Failure::new("container and path must both be named: CONTAINER:PATH"));
            }
            (copy_out(app.client().await?, &flags, container, path, to).await?, to.to_owned())
        }
        (Side::Host(from), Side::Container(container, path)) => {
            if container.is_empty() || path.is_empty() {
                return Err(Failure::new("container and path must both be named: CONTAINER:PATH"));
            }
            (copy_in(app.client().await?, &flags, from, container, path).await?, format!("{container}:{path}"))
        }
    };
    if let Some(bytes) = bytes.filter(|_| !flags.quiet && io::IsTerminal::is_terminal(&io::stderr())) {
        output::err(&format!(
            "Successfully copied {} to {shown}\n",
            size::of(i64::try_from(bytes).unwrap_or(i64::MAX))
        ));
    }
    Ok(0)
}

/// `CONTAINER:PATH`; what begins with a slash or a dot is a path of the host.
fn side(text: &str) -> Side<'_> {
    match text.split_once(':') {
        Some((container, path)) if !text.starts_with(['/', '.']) && !container.contains('/') => {
            Side::Container(container, path)
        }
        _ => Side::Host(text),
    }
}

/// How the path of a source or destination ends.
fn asserts_folder(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "."
}

fn means_contents(path: &str) -> bool {
    path.ends_with("/.") || path == "."
}

async fn copy_out(client: &Client, flags: &CpFlags, container: &str, path: &str, to: &str) -> Outcome<Option<u64>> {
    let path = if flags.follow_link { followed(client, container, path).await? } else { path.to_owned() };
    let (stat, stream) = client.container_archive_get(container, &path).await?;
    if to == "-" {
        return copy_to_stdout(stream).await;
    }
    let (folder, root) = destination_on_host(&stat, &path, to)?;
    let target = Target { folder, root, owners: flags.archive };
    let bytes = extract_stream(stream, target).await?;
    Ok(Some(bytes))
}

async fn copy_to_stdout(mut stream: ByteStream) -> Outcome<Option<u64>> {
    while let Some(bytes) = stream.next().await {
        output::out_bytes(&bytes?)?;
    }
    Ok(None)
}

/// Go's file mode for folders and symbolic links, which the path's description carries.
const MODE_FOLDER: u32 = 1 << 31;
const MODE_LINK: u32 = 1 << 27;

fn destination_on_host(stat: &PathStat, from: &str, to: &str) -> Outcome<(PathBuf, Root)> {
    let from_folder = stat.mode & MODE_FOLDER != 0;
    let path = Path::new(to);
    if std::fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
        let root = if from_folder && means_contents(from) { Root::Drop } else { Root::Keep };
        return Ok((path.to_owned(), root));
    }
    if path.exists() && from_folder {
        return Err(Failure::new("cannot copy directory").with_hint(format!("{to} is a file")));
    }
    if !path.exists() && !from_folder && asserts_folder(to) {
        return Err(Failure::new(format!("destination directory {to} does not exist")));
    }
    let name = path.file_name().ok_or_else(|| Failure::new(format!("{to} names no file")))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(Failure::new(format!(
            "invalid output path: directory {:?} does not exist",
            parent.display().to_string()
        )));
    }
    Ok((parent.to_owned(), Root::Rename(name.to_string_lossy().into_owned())))
}

/// Extracts in a thread, for files block, while the stream is read here.
async fn extract_stream(mut stream: ByteStream, target: Target) -> Outcome<u64> {
    let (sender, receiver) = mpsc::channel(4);
    let worker = tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { receiver, current: Bytes::new() };
        let result = extract(&mut pieces, &target);
        // What follows the archive's end is padding; the sender must not find a closed channel while it sends that.
        let _ = io::copy(&mut pieces, &mut io::sink());
        result
    });
    while let Some(piece) = stream.next().await {
        let piece = match piece {
            Ok(piece) => Ok(piece),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        let broken = piece.is_err();
        if sender.send(piece).await.is_err() || broken {
            break;
        }
    }
    drop(sender);
    let result = worker.await.map_err(|error| Failure::new(error.to_string()))?;
    result.map_err(|error| Failure::new(format!("cannot extract: {}", output::os_error(&error))))
}

/// Pieces from a channel as something to read.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

async fn copy_in(client: &Client, flags: &CpFlags, from: &str, container: &str, to: &str) -> Outcome<Option<u64>> {
    let to = followed(client, container, to).await?;
    let stat = match client.container_path_stat(container, &to).await {
        Ok(stat) => Some(stat),
        Err(error) if error.kind() == Kind::NotFound && !error.to_string().contains("No such container") => None,
        Err(error) => return Err(error.into()),
    };
    let to_folder = stat.as_ref().is_some_and(|stat| stat.mode & MODE_FOLDER != 0);
    let options = ArchivePut { no_overwrite_dir_non_dir: true, copy_uid_gid: flags.archive };
    if from == "-" {
        if stat.is_some() && !to_folder {
            return Err(Failure::new(format!("destination \"{container}:{to}\" must be a directory")));
        }
        client.container_archive_put(container, &to, options, source::open(None)?).await?;
        return Ok(None);
    }
    let meta = if flags.follow_link { std::fs::metadata(from) } else { std::fs::symlink_metadata(from) };
    let meta = meta.map_err(|error| Failure::new(format!("lstat {from}: {}", output::os_error(&error))))?;
    let folder = meta.is_dir() || (asserts_folder(from) && Path::new(from).is_dir());
    let (into, name) = destination_in_container(from, &to, folder, to_folder, stat.is_some())?;
    let follow = flags.follow_link || asserts_folder(from);
    let upload = upload(Source { path: from.into(), name, follow });
    client.container_archive_put(container, &into, options, upload).await?;
    Ok(if folder { None } else { Some(meta.len()) })
}

/// The folder of the container that takes the archive, and the name of the source within the archive.
fn destination_in_container(
    from: &str,
    to: &str,
    folder: bool,
    to_folder: bool,
    exists: bool,
) -> Outcome<(String, String)> {
    let own_name = || -> Outcome<String> {
        let absolute = std::path::absolute(from)?;
        Ok(absolute.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned()))
    };
    if to_folder {
        return Ok((to.to_owned(), if folder && means_contents(from) { ".".into() } else { own_name()? }));
    }
    if exists && folder {
        return Err(Failure::new("cannot copy directory").with_hint(format!("{to} is a file in the container")));
    }
    if !exists && !folder && asserts_folder(to) {
        return Err(Failure::new(format!("destination directory {to} does not exist in the container")));
    }
    let trimmed = to.trim_end_matches("/.").trim_end_matches('/');
    let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
    Ok((if parent.is_empty() { "/".into() } else { parent.to_owned() }, name.to_owned()))
}

/// Where a path leads if it is a symbolic link in the container.
async fn followed(client: &Client, container: &str, path: &str) -> Outcome<String> {
    let absolute = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    match client.container_path_stat(container, &absolute).await {
        Ok(stat) if stat.mode & MODE_LINK != 0 && !stat.link_target.is_empty() => {
            let target = Path::new(&stat.link_target);
            if target.is_absolute() {
                return Ok(stat.link_target);
            }
            let parent = Path::new(&absolute).parent().unwrap_or(Path::new("/"));
            Ok(parent.join(target).to_string_lossy().into_owned())
        }
        _ => Ok(absolute),
    }
}

fn upload(source: Source) -> Upload {
    source::from_thread(move |send| {
        let mut writer = io::BufWriter::with_capacity(256 * 1024, Sender(send));
        pack(&source, &mut writer)?;
        writer.flush()
    })
}

/// A function that sends pieces, as something to write to.
struct Sender<'a>(&'a mut dyn FnMut(Vec<u8>) -> io::Result<()>);

impl Write for Sender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes.to_vec())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
