//! Uploads: at once, as a stream, in chunks; mounted from another repository where it has the blob; continued after a
//! cut at the byte that the registry has.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::sync::mpsc;
use wharf_types::{Digest, Error, Result};

use super::failure::{Again, Failure};
use super::repository::{Access, Repository, scope};
use super::transport::{Call, Door};
use super::{range, retry};

/// Blobs up to this size in bytes are sent in one request.
const SMALL: u64 = 256 * 1024;
/// Into such pieces the content is read.
const PIECE: usize = 256 * 1024;
/// So many of them wait for the network.
const PIECES: usize = 4;
/// The size of chunks for a registry that finds the whole too large, in bytes.
const CHUNK: u64 = 8 << 20;

/// Content to be uploaded, which can be read from any byte on.
pub trait Source: Send + Sync + 'static {
    /// A reader from `at` on.
    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>>;
}

/// How an upload begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It is over: the registry has taken the blob from another repository.
    Mounted,
    /// The bytes go here.
    At(Url),
}

/// What is uploaded, for one attempt after the other.
struct Upload<'a> {
    digest: Digest,
    size: u64,
    source: &'a Arc<dyn Source>,
    told: &'a (dyn Fn(u64) + Send + Sync),
    chunk: u64,
}

impl Repository {
    /// Asks for an upload, or for the blob to be taken from the repository `from` of the same registry.
    pub async fn start_upload(&self, mount: Option<(&Digest, &str)>) -> Result<Start> {
        Ok(self.start(self.push_door()?, mount).await?)
    }

    async fn start(&self, door: &Door, mount: Option<(&Digest, &str)>) -> Result<Start, Failure> {
        let mut url = door.url(&format!("{}/blobs/uploads/", self.path))?;
        let mut scopes = self.scopes.clone();
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
            scopes.push(scope(from, Access::Pull));
        }
        let response = door.send(&Call::new(Method::POST, url), &scopes).await?;
        match response.status() {
            StatusCode::CREATED => Ok(Start::Mounted),
            _ => Ok(Start::At(location(&response)?)),
        }
    }

    /// Uploads a blob, beginning at `location` where an upload has been started. `told` hears how many bytes have gone.
    pub async fn upload(
        &self,
        digest: Digest,
        size: u64,
        location: Option<Url>,
        source: &Arc<dyn Source>,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let door = self.push_door()?;
        let mut upload = Upload { digest, size, source, told, chunk: u64::MAX };
        let (mut location, mut at, mut best, mut failures) = (location, 0, 0, 0);
        loop {
            let result = self.attempt(door, &mut location, &mut at, &upload).await;
            let Err(failure) = result else { return Ok(()) };
            if at > best {
                (best, failures) = (at, 0);
            }
            failures += 1;
            let is_too_large = failure.status == Some(StatusCode::PAYLOAD_TOO_LARGE) && upload.chunk > CHUNK;
            let least = match failure.again {
                _ if is_too_large => {
                    upload.chunk = CHUNK;
                    None
                }
                // A token may have run out while the bytes went.
                Again::Never if failure.status == Some(StatusCode::UNAUTHORIZED) && failures < 3 => None,
                Again::Never => return Err(failure.into()),
                Again::Unreachable => None,
                Again::After(least) => least,
            };
            if failures >= door.transport.settings.attempts {
                return Err(failure.into());
            }
            tracing::debug!(error = %failure.error.chain(), at, "an upload is tried again");
            tokio::time::sleep(least.unwrap_or_default().max(retry::pause(failures))).await;
            (location, at) = match location {
                Some(known) => self.status(door, &known).await?.map_or((None, 0), |(url, at)| (Some(url), at)),
                None => (None, 0),
            };
        }
    }

    async fn attempt(
        &self,
        door: &Door,
        location: &mut Option<Url>,
        at: &mut u64,
        upload: &Upload<'_>,
    ) -> Result<(), Failure> {
        if location.is_none() {
            match self.start(door, None).await? {
                Start::Mounted => return Ok(()),
                Start::At(url) => (*location, *at) = (Some(url), 0),
            }
        }
        let begun = location.clone().ok_or_else(|| Error::system("the upload has no address"))?;
        if *at == 0 && upload.size <= SMALL {
            return self.put_all(door, &begun, upload).await;
        }
        let mut url = begun;
        while *at < upload.size {
            url = self.patch(door, &url, *at, upload).await?;
            *location = Some(url.clone());
            *at += upload.chunk.min(upload.size - *at);
        }
        self.finish(door, url, upload, Bytes::new()).await
    }

    async fn put_all(&self, door: &Door, url: &Url, upload: &Upload<'_>) -> Result<(), Failure> {
        let source = upload.source.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            source.open(0)?.read_to_end(&mut bytes).map(|_| bytes)
        });
        let bytes = read.await.map_err(|error| Error::system("reading content failed").caused_by(error))?;
        let bytes = bytes.map_err(Error::from)?;
        self.finish(door, url.clone(), upload, bytes.into()).await?;
        (upload.told)(upload.size);
        Ok(())
    }

    /// Sends one chunk, which may be all, as a stream; gives where the next goes.
    async fn patch(&self, door: &Door, url: &Url, at: u64, upload: &Upload<'_>) -> Result<Url, Failure> {
        let len = upload.chunk.min(upload.size - at);
        let (sender, receiver) = mpsc::channel(PIECES);
        let source = upload.source.clone();
        tokio::task::spawn_blocking(move || read_pieces(&*source, at, len, &sender));
        let (sent, mut heard) = tokio::sync::watch::channel(at);
        let pieces = stream::unfold((receiver, sent), |(mut receiver, sent)| async {
            let piece: io::Result<Bytes> = receiver.recv().await?;
            let len = piece.as_ref().map_or(0, Bytes::len) as u64;
            sent.send_modify(|total| *total += len);
            Some((piece, (receiver, sent)))
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        // Without chunks, as Docker does it, which every registry takes; a range says where a later part belongs.
        if at > 0 || len < upload.size {
            let range =
                HeaderValue::from_str(&format!("{at}-{}", at + len - 1)).map_err(|_| Error::system("a range"))?;
            headers.insert(CONTENT_RANGE, range);
        }
        let call = Call::new(Method::PATCH, url.clone()).with_headers(headers);
        let call = call.with_stream(Body::wrap_stream(pieces), len);
        let answer = door.try_once(&call, &self.scopes);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => break Ok(location(&answer?)?),
                changed = heard.changed() => match changed {
                    Ok(()) => (upload.told)(*heard.borrow_and_update()),
                    // All has gone; now only the answer is missing.
                    Err(_) => break Ok(location(&answer.await?)?),
                },
            }
        }
    }

    async fn finish(&self, door: &Door, mut url: Url, upload: &Upload<'_>, bytes: Bytes) -> Result<(), Failure> {
        url.query_pairs_mut().append_pair("digest", &upload.digest.to_string());
        let octets = HeaderValue::from_static("application/octet-stream");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, octets)]);
        let call = Call::new(Method::PUT, url).with_headers(headers).with_bytes(bytes);
        match door.try_once(&call, &self.scopes).await {
            Ok(_) => Ok(()),
            // The answer may have been lost after the registry had done it.
            Err(failure) => match self.blob_size(&upload.digest).await {
                Ok(Some(size)) if size == upload.size => Ok(()),
                _ => Err(failure),
            },
        }
    }

    /// How far the registry has come with an upload; `None` if it knows it no more.
    async fn status(&self, door: &Door, url: &Url) -> Result<Option<(Url, u64)>, Failure> {
        let response = match door.send(&Call::new(Method::GET, url.clone()), &self.scopes).await {
            Ok(response) => response,
            Err(failure) if failure.status.is_some_and(|status| status.is_client_error()) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let at = range.and_then(range::upload_offset).unwrap_or(0);
        Ok(Some((location(&response).unwrap_or_else(|_| url.clone()), at)))
    }
}

/// Where an upload goes on.
fn location(response: &Response) -> Result<Url> {
    let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = text.and_then(|text| response.url().join(text).ok());
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Error::system("the registry does not say where the upload goes"))
}

/// Reads content for the network, where blocking is allowed.
fn read_pieces(source: &dyn Source, at: u64, len: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    let read = || -> io::Result<()> {
        let mut reader = source.open(at)?.take(len);
        let mut left = len;
        while left > 0 {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut reader).take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= piece.len() as u64;
            if pieces.blocking_send(Ok(piece.into())).is_err() {
                return Ok(()); // the request has failed, and says so itself
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        pieces.blocking_send(Err(error)).ok();
    }
}
