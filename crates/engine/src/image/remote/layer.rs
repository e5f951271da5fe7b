//! One layer: network → file → unpacking, all at once. The file is the buffer between them, so that neither waits for
//! the other in memory, and what is in it stays when anything fails.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wharf_image::{Part, Present};
use wharf_registry::client::{Blob, Repository};
use wharf_storage::tar::Limits;
use wharf_storage::{Partial, StagedBlob, StagedLayer};
use wharf_types::{Error, Kind, Result, ResultExt};

use super::shared::{Staged, State};
use crate::image::Images;

/// So many pieces from the network may wait for the disk.
const PIECES: usize = 8;

/// Fetches and unpacks what is missing of a layer.
pub(super) async fn fetch(
    images: Images,
    repository: Arc<Repository>,
    part: Part,
    present: Present,
    states: watch::Sender<State>,
) -> Result<Staged> {
    if present.blob {
        let layer = unpack_present(&images, &part, &states).await?;
        return Ok(Staged { blob: None, layer: Some(layer) });
    }
    let work = Work { images, repository, part, states, unpacks: !present.layer };
    match work.attempt().await {
        // Bytes of an earlier attempt may have been wrong, so the whole gets one more chance.
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::warn!(error = %error.chain(), "a layer is fetched anew");
            work.states.send_modify(|state| *state = State { begun: true, ..State::default() });
            work.attempt().await
        }
        other => other,
    }
}

struct Work {
    images: Images,
    repository: Arc<Repository>,
    part: Part,
    states: watch::Sender<State>,
    unpacks: bool,
}

impl Work {
    async fn attempt(&self) -> Result<Staged> {
        let remote = self.images.remote();
        let permit = remote.downloads.acquire().await.map_err(|_| Error::unavailable("the engine ends"))?;
        self.states.send_modify(|state| state.begun = true);
        let promised = self.part.blob;
        let partial = self.images.run(move |store| store.content().resume(promised)).await?;
        let from = partial.len();
        self.states.send_modify(|state| state.downloaded = from);
        let unpacking = self.unpacks.then(|| self.unpack_behind(&partial)).transpose()?;
        let (pieces, received) = mpsc::channel(PIECES);
        let writing = write(partial, received, self.states.clone());
        let blob = Blob { digest: promised.digest, size: promised.size, urls: self.part.urls.clone() };
        let downloaded = self.repository.download(&blob, from, &pieces).await;
        drop((pieces, permit));
        let written = joined(writing.await);
        // A writer that only heard of an end has nothing to add; a full disk is the reason for the rest.
        let blob = match (downloaded, written) {
            (_, Ok(blob)) => blob,
            (Err(error), Err(written)) if written.kind() == Kind::Unavailable => return Err(error),
            (_, Err(error)) => return Err(error),
        };
        self.states.send_modify(|state| state.verified = true);
        let layer = match unpacking {
            Some(unpacking) => {
                Some(joined(unpacking.await).with_context(|| format!("cannot unpack layer {}", promised.digest))?)
            }
            None => None,
        };
        Ok(Staged { blob: Some(blob), layer })
    }

    /// Unpacks what is being written.
    fn unpack_behind(&self, partial: &Partial) -> Result<JoinHandle<Result<StagedLayer>>> {
        let reader = Counted { inner: partial.follow()?, count: 0, states: self.states.clone() };
        let (images, part) = (self.images.clone(), self.part.clone());
        Ok(tokio::spawn(async move { unpack(&images, &part, reader).await }))
    }
}

async fn unpack_present(images: &Images, part: &Part, states: &watch::Sender<State>) -> Result<StagedLayer> {
    let size = part.blob.size;
    states.send_modify(|state| *state = State { begun: true, downloaded: size, verified: true, ..State::default() });
    let digest = part.blob.digest;
    let file = images.run(move |store| store.content().reader(&digest)).await?;
    let reader = Counted { inner: file, count: 0, states: states.clone() };
    unpack(images, part, reader).await.with_context(|| format!("cannot unpack layer {digest}"))
}

async fn unpack(images: &Images, part: &Part, reader: impl Read + Send + 'static) -> Result<StagedLayer> {
    let unpacks = &images.remote().unpacks;
    let _permit = unpacks.acquire().await.map_err(|_| Error::unavailable("the engine ends"))?;
    let diff_id = part.diff_id;
    let layer = images.run(move |store| store.layers().unpack(reader, Some(diff_id), &Limits::default())).await?;
    write_back(images);
    Ok(layer)
}

/// Has what was unpacked written to disk while the others still arrive: the sync at the end finds little left to do.
fn write_back(images: &Images) {
    if images.remote().writing_back.swap(true, Ordering::Relaxed) {
        return;
    }
    let images = images.clone();
    tokio::spawn(async move {
        // The sync at the end is the one that counts, and reports.
        drop(images.run(|store| store.layers().sync()).await);
        images.remote().writing_back.store(false, Ordering::Relaxed);
    });
}

/// Writes what arrives. What has been written when the pieces end early stays for the next attempt.
fn write(
    mut partial: Partial,
    mut pieces: mpsc::Receiver<Bytes>,
    states: watch::Sender<State>,
) -> JoinHandle<Result<StagedBlob>> {
    tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            partial.append(&piece)?;
            let len = partial.len();
            states.send_modify(|state| state.downloaded = len);
        }
        if !partial.is_whole() {
            return Err(Error::unavailable("the download broke off"));
        }
        partial.finish()
    })
}

fn joined<T>(result: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| Err(Error::system("a part of a download died").caused_by(error)))
}

/// Tells how much was read.
struct Counted<R> {
    inner: R,
    count: u64,
    states: watch::Sender<State>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        self.states.send_modify(|state| state.unpacked = self.count);
        Ok(read)
    }
}
