//! Blobs: read and deleted.

use http::{Method, StatusCode, header};
use wharf_types::Digest;

use super::range::Wanted;
use super::{Answer, Body, Call, Door, answer, range};
use crate::server::auth::Action;
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};

impl Door {
    /// GET and HEAD of a blob.
    pub(super) async fn blob(&self, call: &Call, name: &Name, digest: &Digest) -> Answered<Answer> {
        self.guard.check(call, name, Action::Pull)?;
        let size = match self.registry.blob(name, digest).await? {
            Some(size) => size,
            None => return self.foreign_blob(call, name, digest).await,
        };
        self.cache.hit(name, &self.metrics);
        self.present_blob(call, digest, size).await
    }

    async fn present_blob(&self, call: &Call, digest: &Digest, size: u64) -> Answered<Answer> {
        let mut answer = match ask(call, digest, size) {
            Ask::Nothing => return Ok(unsatisfiable(size)),
            Ask::Known => answer::empty(StatusCode::NOT_MODIFIED),
            Ask::Head => {
                let mut answer = answer::empty(StatusCode::OK);
                answer::set(&mut answer, header::CONTENT_LENGTH, size.to_string());
                answer
            }
            Ask::All => {
                let content = self.registry.store().read(digest, 0..size).await?;
                answer::with(StatusCode::OK, Body::content(content, size, &self.pool))
            }
            Ask::Part(part) => {
                let content = self.registry.store().read(digest, part.clone()).await?;
                let body = Body::content(content, part.end - part.start, &self.pool);
                let mut answer = answer::with(StatusCode::PARTIAL_CONTENT, body);
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                answer::set(&mut answer, header::CONTENT_RANGE, range);
                answer
            }
        };
        describe(&mut answer, digest);
        Ok(answer)
    }

    /// A blob that is not here: from upstream, if this is a cache.
    async fn foreign_blob(&self, call: &Call, name: &Name, digest: &Digest) -> Answered<Answer> {
        let unknown = || {
            Problem::blob_unknown("this repository does not have the blob")
                .about(serde_json::json!({ "digest": digest }))
        };
        let found = self.cache.blob(&self.registry, name, digest, &self.metrics).await?;
        let fetched = found.ok_or_else(unknown)?;
        let size = fetched.size;
        let mut answer = match ask(call, digest, size) {
            Ask::Nothing => return Ok(unsatisfiable(size)),
            Ask::Known => answer::empty(StatusCode::NOT_MODIFIED),
            Ask::Head => {
                let mut answer = answer::empty(StatusCode::OK);
                answer::set(&mut answer, header::CONTENT_LENGTH, size.to_string());
                answer
            }
            Ask::All => answer::with(StatusCode::OK, Body::content(fetched.content(0..size), size, &self.pool)),
            Ask::Part(part) => {
                let length = part.end - part.start;
                let body = Body::content(fetched.content(part.clone()), length, &self.pool);
                let mut answer = answer::with(StatusCode::PARTIAL_CONTENT, body);
                let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                answer::set(&mut answer, header::CONTENT_RANGE, range);
                answer
            }
        };
        describe(&mut answer, digest);
        Ok(answer)
    }

    /// DELETE of a blob.
    pub(super) async fn delete_blob(&self, call: &Call, name: &Name, digest: &Digest) -> Answered<Answer> {
        self.guard.check(call, name, Action::Delete)?;
        self.registry.delete_blob(name, digest).await?;
        Ok(answer::empty(StatusCode::ACCEPTED))
    }
}

/// What a request wants of a blob that exists.
enum Ask {
    Known,
    Head,
    All,
    Part(std::ops::Range<u64>),
    Nothing,
}

fn ask(call: &Call, digest: &Digest, size: u64) -> Ask {
    if answer::is_known(call.header(header::IF_NONE_MATCH), digest) {
        return Ask::Known;
    }
    let fresh = call.header(header::IF_RANGE).is_none_or(|tag| answer::is_known(Some(tag), digest));
    let wanted = call.header(header::RANGE).filter(|_| fresh).map_or(Wanted::All, |text| range::read(text, size));
    match wanted {
        Wanted::Nothing => Ask::Nothing,
        _ if call.head.method == Method::HEAD => Ask::Head,
        Wanted::Part(part) => Ask::Part(part),
        Wanted::All => Ask::All,
    }
}

fn unsatisfiable(size: u64) -> Answer {
    let problem = Problem::range_invalid(format!("the blob has {size} bytes"));
    answer::refusal(&problem.with_header(header::CONTENT_RANGE, format!("bytes */{size}")))
}

/// What is always true of a blob: it never changes.
fn describe(answer: &mut Answer, digest: &Digest) {
    answer::identify(answer, digest);
    answer::set(answer, header::ACCEPT_RANGES, "bytes");
    answer::set(answer, header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    if answer.status() != StatusCode::NOT_MODIFIED {
        answer::set(answer, header::CONTENT_TYPE, "application/octet-stream");
    }
}
