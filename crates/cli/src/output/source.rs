//! Where archives are read from: a file or standard input.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;
use wharf_client::Upload;

use crate::failure::{Failure, Outcome};

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// An archive for the engine; standard input without a path or for `-`.
pub fn open(path: Option<&str>) -> Outcome<Upload> {
    match path.filter(|path| *path != "-") {
        Some(path) => {
            let failed = |error: std::io::Error| Failure::new(format!("open {path}: {}", super::os_error(&error)));
            let file = File::open(path).map_err(failed)?;
            if file.metadata().map_err(failed)?.is_dir() {
                return Err(Failure::new(format!("read {path}: is a directory")));
            }
            Ok(from_reader(file))
        }
        None => Ok(from_reader(std::io::stdin())),
    }
}

/// Whatever can be read, by a thread of its own: files and standard input block.
pub fn from_reader(mut reader: impl Read + Send + 'static) -> Upload {
    from_thread(move |send| {
        loop {
            let mut piece = vec![0; PIECE];
            let count = reader.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            piece.truncate(count);
            send(piece)?;
        }
    })
}

/// What a thread produces by calling the function that it is given.
pub fn from_thread<F>(produce: F) -> Upload
where
    F: FnOnce(&mut dyn FnMut(Vec<u8>) -> std::io::Result<()>) -> std::io::Result<()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(4);
    std::thread::spawn(move || {
        let mut send =
            |piece: Vec<u8>| sender.blocking_send(Ok(piece.into())).map_err(|_| std::io::ErrorKind::BrokenPipe.into());
        if let Err(error) = produce(&mut send) {
            // The engine may have stopped reading; then nobody needs to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Upload::new(futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))))
}
