//! Blobs: downloads that go on where they stopped, however often they are cut.

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::mpsc;
use wharf_types::{Digest, Error, Result};

use super::failure::{Again, Failure};
use super::range;
use super::repository::Repository;
use super::retry;
use super::transport::{Call, Door, SILENCE, read_limited};

/// After so many wrong answers to a range the whole is asked for, and what is known of it skipped.
const LIES: u32 = 2;

/// A blob to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be had, for layers that no registry may have ("foreign"). No credentials go there.
    pub urls: Vec<String>,
}

/// A download as far as it has come.
struct Progress<'a> {
    blob: &'a Blob,
    at: u64,
    lies: u32,
    pieces: &'a mpsc::Sender<Bytes>,
}

/// The receiver of the pieces has gone.
fn unwanted() -> Failure {
    Error::conflict("the download is not wanted any more").into()
}

impl Repository {
    /// Whether the registry itself has a blob, and its size in bytes.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let door = self.push_door()?;
        let call = Call::new(Method::HEAD, door.url(&format!("{}/blobs/{digest}", self.path))?);
        match door.send(&call, &self.scopes).await {
            Ok(response) => {
                let length = response.headers().get(CONTENT_LENGTH);
                Ok(Some(length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)))
            }
            Err(failure) if failure.is_not_there() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The size in bytes of a blob that can be downloaded here, from the registry or one of its mirrors; `None` where all
    /// of them lack it.
    pub async fn offers(&self, digest: &Digest) -> Result<Option<u64>> {
        let ask = |door: Door| async move {
            let call = Call::new(Method::HEAD, door.url(&format!("{}/blobs/{digest}", self.path))?);
            let response = door.send(&call, &self.scopes).await?;
            let length = response.headers().get(CONTENT_LENGTH);
            Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
        };
        match self.anywhere(|host| host.pull, ask).await {
            Ok(size) => Ok(size),
            Err(failure) if failure.is_not_there() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// All of a small blob, verified.
    pub async fn small_blob(&self, digest: &Digest, limit: usize) -> Result<Bytes> {
        let get = |door: Door| async move {
            let url = door.url(&format!("{}/blobs/{digest}", self.path))?;
            let response = door.send(&Call::new(Method::GET, url), &self.scopes).await?;
            let bytes = read_limited(response, limit).await?;
            if Digest::of(&bytes) != *digest {
                let what = format!("{} sends other content for {digest}", door.host.authority());
                return Err(Error::corrupt(what).into());
            }
            Ok(bytes)
        };
        Ok(self.anywhere(|host| host.pull, get).await?)
    }

    /// Sends the bytes of a blob from `from` on to `pieces`, and goes on after every cut as long as something arrives.
    /// What arrives is not verified: that is for whoever writes it down.
    pub async fn download(&self, blob: &Blob, from: u64, pieces: &mpsc::Sender<Bytes>) -> Result<()> {
        let mut progress = Progress { blob, at: from, lies: 0, pieces };
        let mut last = None;
        for index in self.order(|host| host.pull) {
            let door = self.door(index);
            let path = format!("{}/blobs/{}", self.path, blob.digest);
            match self.persist(door, &door.url(&path)?, true, &mut progress).await {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    self.note(door, &failure);
                    last = Some(failure);
                }
            }
        }
        let is_missing = last.as_ref().is_none_or(Failure::is_not_there);
        for url in blob.urls.iter().filter(|_| is_missing) {
            let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if let (Some(url), Ok(door)) = (parsed, self.push_door()) {
                match self.persist(door, &url, false, &mut progress).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => last = Some(failure),
                }
            }
        }
        Err(last.map_or_else(|| Error::not_found(format!("content {} is nowhere", blob.digest)), Failure::into))
    }

    /// Downloads from one place until all is there or nothing more comes.
    async fn persist(&self, door: &Door, url: &Url, known: bool, progress: &mut Progress<'_>) -> Result<(), Failure> {
        let attempts = door.transport.settings.attempts;
        let mut failures = 0;
        while progress.at < progress.blob.size {
            let before = progress.at;
            let failure = match self.stretch(door, url, known, progress).await {
                Ok(()) => {
                    Failure::passing(Error::system(format!("the connection to {} broke off", door.host.authority())))
                }
                Err(failure) => failure,
            };
            if progress.at == progress.blob.size {
                break;
            }
            if progress.at > before {
                failures = 0;
                continue;
            }
            failures += 1;
            let least = match failure.again {
                Again::Never => return Err(failure),
                Again::Unreachable => None,
                Again::After(least) => least,
            };
            if failures >= attempts {
                return Err(failure);
            }
            let pause = least.unwrap_or_default().max(retry::pause(failures));
            tracing::debug!(error = %failure.error.chain(), at = progress.at, ?pause, "a download is tried again");
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// One request, read to its end or to where it breaks off.
    async fn stretch(&self, door: &Door, url: &Url, known: bool, progress: &mut Progress<'_>) -> Result<(), Failure> {
        let mut call = Call::new(Method::GET, url.clone());
        let wants_range = progress.at > 0 && progress.lies < LIES;
        if wants_range {
            let range = HeaderValue::from_str(&format!("bytes={}-", progress.at)).map_err(|_| unwanted())?;
            call = call.with_headers(HeaderMap::from_iter([(RANGE, range)]));
        }
        let response = match known {
            true => door.try_once(&call, &self.scopes).await,
            false => anonymous(door, &call).await,
        };
        let response = match response {
            Err(failure) if wants_range && failure.status == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                progress.lies += 1;
                return Err(Failure { again: Again::After(None), ..failure });
            }
            other => other?,
        };
        let skip = check(&response, wants_range, progress).inspect_err(|_| progress.lies += 1)?;
        pour(response, skip, progress).await
    }
}

/// A request without anything that says who asks, to a host that only the image names.
async fn anonymous(door: &Door, call: &Call) -> Result<Response, Failure> {
    let response = door.transport.exchange(&door.host, call, None).await?;
    if response.status().as_u16() >= 400 {
        return Err(Failure::of_answer(&super::host::authority(&call.url), response).await);
    }
    Ok(response)
}

/// Whether the answer is what was asked for; gives how many bytes of it are known already.
fn check(response: &Response, wants_range: bool, progress: &Progress<'_>) -> Result<u64, Failure> {
    let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let size = progress.blob.size;
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = header(CONTENT_RANGE).and_then(range::content_range);
        return match range {
            Some((first, last, whole))
                if wants_range && first == progress.at && last < size && whole.is_none_or(|w| w == size) =>
            {
                Ok(0)
            }
            _ => Err(Failure::passing(Error::corrupt("the registry sends another range than the one asked for"))),
        };
    }
    let length = header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    match length.filter(|length| *length != size) {
        Some(length) => {
            let what = format!("the registry has {length} bytes for {} instead of {size}", progress.blob.digest);
            Err(Failure::passing(Error::corrupt(what)))
        }
        None => Ok(progress.at),
    }
}

async fn pour(mut response: Response, mut skip: u64, progress: &mut Progress<'_>) -> Result<(), Failure> {
    let host = super::host::authority(response.url());
    loop {
        let piece = tokio::time::timeout(SILENCE, response.chunk()).await;
        let piece = piece.map_err(|_| Failure::passing(Error::system(format!("{host} does not go on sending"))))?;
        let Some(mut piece) = piece.map_err(|error| Failure::of_transport(&host, error))? else { return Ok(()) };
        let known = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
        skip -= known as u64;
        drop(piece.split_to(known));
        if piece.is_empty() {
            continue;
        }
        if progress.at + piece.len() as u64 > progress.blob.size {
            let what =
                format!("the registry sends more than the {} bytes of {}", progress.blob.size, progress.blob.digest);
            return Err(Failure::passing(Error::corrupt(what)));
        }
        progress.at += piece.len() as u64;
        progress.pieces.send(piece).await.map_err(|_| unwanted())?;
    }
}
