//! Images in and out of the engine as streams.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use wharf_api::image::Progress as Report;

use wharf_image::{ImageId, ImportOptions, Loaded, Progress};
use wharf_types::{Platform, Result};

use super::Images;

/// So many pieces of a download may wait.
const PIECES: usize = 8;

/// Pieces of a download, for one who blocks.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let len = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}

impl Images {
    /// Makes an image of a root file system's tar.
    pub async fn import(&self, stream: impl Read + Send + 'static, options: ImportOptions) -> Result<ImageId> {
        let name = options.reference.as_ref().map_or_else(String::new, |name| name.familiar());
        let id = self.run(move |store| store.import(stream, &options)).await?;
        self.tell("import", &id.to_string(), &name);
        self.give_up_blobs_later();
        Ok(id)
    }

    /// Begins to fetch what is at an address of the web.
    pub(crate) async fn download(&self, address: &str) -> Result<wharf_registry::client::Download> {
        self.remote().registry().download(address).await
    }

    /// Makes an image of a root file system's tar at an address of the web. `report` hears how far it is.
    pub async fn import_from(
        &self,
        address: &str,
        options: ImportOptions,
        report: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<ImageId> {
        let mut download = self.remote().registry().download(address).await?;
        report(Report::status(format!("Downloading from {address}")));
        let total = download.size().unwrap_or(0);
        let (sender, receiver) = mpsc::channel(PIECES);
        let pump = async move {
            let mut done = 0;
            loop {
                let piece = download.next().await.map_err(io::Error::other);
                let Some(piece) = piece.transpose() else { return };
                done += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                report(Report::status("Importing").of("import").at(done, total));
                let is_end = piece.is_err();
                // Whoever reads may have had enough.
                if sender.send(piece).await.is_err() || is_end {
                    return;
                }
            }
        };
        tokio::spawn(pump);
        self.import(Pieces { receiver, piece: Bytes::new() }, options).await
    }

    /// Brings in all images of an archive, or those for one platform.
    pub async fn load(
        &self,
        stream: impl Read + Send + 'static,
        platform: Option<Platform>,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Vec<Loaded>> {
        let loaded = self.run(move |store| store.load(stream, platform.as_ref(), &progress)).await?;
        for image in &loaded {
            let (id, name) = match image {
                Loaded::Name(name, id) => (id, name.familiar()),
                Loaded::Id(id) => (id, id.to_string()),
            };
            self.tell("load", &id.to_string(), &name);
        }
        self.give_up_blobs_later();
        Ok(loaded)
    }

    /// Writes images as an archive, with all platforms that are here or with one.
    pub async fn save(
        &self,
        names: Vec<String>,
        platform: Option<Platform>,
        out: impl Write + Send + 'static,
    ) -> Result<()> {
        let told = names.clone();
        let (wanted, of) = (names.clone(), platform.clone());
        let (_lease, absent) = self
            .run(move |store| {
                let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
                store.absent_in(&names, of.as_ref())
            })
            .await?;
        let _kept = self.bring_back(absent).await?;
        self.run(move |store| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            store.save(&names, platform.as_ref(), out)
        })
        .await?;
        self.give_up_blobs_later();
        for name in told {
            self.tell("save", &name, &name);
        }
        Ok(())
    }
}
