//! Uploads of blobs: at once, streamed, in chunks, resumed, or mounted from another repository.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use wharf_types::{Digest, Error};

use super::{Answer, Call, Door, answer, range};
use crate::server::auth::Action;
use crate::server::metrics::Metrics;
use crate::server::names::{self, Name};
use crate::server::problem::{Answered, Problem};
use crate::server::registry::uploads::Held;
use crate::server::store::{Source, Upload};

/// A client that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(120);

impl Door {
    /// POST: mounts a blob, takes a whole one, or begins an upload.
    pub(super) async fn begin(&self, mut call: Call, name: &Name) -> Answered<Answer> {
        self.guard.check(&call, name, Action::Push)?;
        self.cache.refuse_push(name)?;
        if let Some(digest) = call.query("mount") {
            let digest = names::digest(&digest)?;
            if let Some(from) = call.query("from").and_then(|from| from.parse::<Name>().ok())
                && self.guard.may(&call, &from, Action::Pull)
                && self.registry.mount(name, &from, &digest).await?
            {
                return Ok(created(name, &digest));
            }
            // As if no mount had been asked for.
            return Ok(accepted(name, &self.registry.begin(name).await?.upload));
        }
        let Some(digest) = call.query("digest") else {
            return Ok(accepted(name, &self.registry.begin(name).await?.upload));
        };
        let digest = names::digest(&digest)?;
        let mut held = self.registry.begin(name).await?;
        let written = self.receive(&mut call, &mut held).await;
        if written.is_err() {
            // Nobody knows its id, so nobody could go on with it.
            self.registry.drop_upload(&held).await?;
        }
        written?;
        self.registry.commit(name, held, &digest).await?;
        Ok(created(name, &digest))
    }

    /// GET: how far an upload has come.
    pub(super) async fn progress(&self, call: &Call, name: &Name, id: &str) -> Answered<Answer> {
        self.guard.check(call, name, Action::Push)?;
        let upload = self.registry.upload(name, id).await?;
        let mut answer = accepted(name, &upload);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        Ok(answer)
    }

    /// PATCH: the next part.
    pub(super) async fn chunk(&self, mut call: Call, name: &Name, id: &str) -> Answered<Answer> {
        self.guard.check(&call, name, Action::Push)?;
        let mut held = self.registry.hold(name, id).await?;
        self.check_chunk(&call, name, &held.upload)?;
        self.receive(&mut call, &mut held).await?;
        Ok(accepted(name, &held.upload))
    }

    /// PUT: the last part, if any, and the digest of the whole.
    pub(super) async fn complete(&self, mut call: Call, name: &Name, id: &str) -> Answered<Answer> {
        self.guard.check(&call, name, Action::Push)?;
        let digest = call.query("digest");
        let digest = digest.ok_or_else(|| Problem::digest_invalid("the digest of the content is missing"))?;
        let digest = names::digest(&digest)?;
        let mut held = self.registry.hold(name, id).await?;
        self.check_chunk(&call, name, &held.upload)?;
        self.receive(&mut call, &mut held).await?;
        self.registry.commit(name, held, &digest).await?;
        Ok(created(name, &digest))
    }

    /// DELETE: the client has thought better of it.
    pub(super) async fn cancel(&self, call: &Call, name: &Name, id: &str) -> Answered<Answer> {
        self.guard.check(call, name, Action::Push)?;
        let held = self.registry.hold(name, id).await?;
        self.registry.drop_upload(&held).await?;
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    /// A chunk that says where it belongs must belong at the end of what is there.
    fn check_chunk(&self, call: &Call, name: &Name, upload: &Upload) -> Answered<()> {
        let Some(text) = call.header(header::CONTENT_RANGE) else { return Ok(()) };
        let place = |problem: Problem| {
            problem
                .with_header(header::LOCATION, location(name, upload))
                .with_header(header::RANGE, received(upload))
                .about(json!({ "offset": upload.offset() }))
        };
        let chunk = range::read_chunk(text)
            .ok_or_else(|| place(Problem::range_invalid(format!("{text:?} is no range of a chunk"))))?;
        if chunk.start != upload.offset() {
            return Err(place(Problem::range_invalid("the chunk does not begin where the upload ends")));
        }
        let length = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length != chunk.end - chunk.start) {
            return Err(Problem::size_invalid("the chunk's range and its length do not agree"));
        }
        Ok(())
    }

    async fn receive(&self, call: &mut Call, held: &mut Held) -> Answered<()> {
        match call.body.take() {
            Some(body) => self.registry.append(held, &mut source(body, Arc::clone(&self.metrics))).await,
            None => Ok(()),
        }
    }
}

fn source(body: Incoming, metrics: Arc<Metrics>) -> Source {
    let next = move |mut body: Incoming| {
        let metrics = Arc::clone(&metrics);
        async move {
            loop {
                let frame = match tokio::time::timeout(SILENCE, body.frame()).await {
                    Err(_) => return Some((Err(Error::unavailable("the client has fallen silent")), body)),
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => {
                        let error = Error::unavailable("the connection was cut").caused_by(error);
                        return Some((Err(error), body));
                    }
                    Ok(Some(Ok(frame))) => frame,
                };
                if let Ok(bytes) = frame.into_data() {
                    metrics.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    return Some((Ok(bytes), body));
                }
            }
        }
    };
    Source::new(futures_util::stream::unfold(body, next).boxed())
}

/// Relative, so that it is right behind any proxy.
fn location(name: &Name, upload: &Upload) -> String {
    format!("/v2/{name}/blobs/uploads/{}", upload.id)
}

/// Inclusive, as the specification has it, which leaves no word for nothing.
fn received(upload: &Upload) -> String {
    format!("0-{}", upload.offset().saturating_sub(1))
}

fn accepted(name: &Name, upload: &Upload) -> Answer {
    let mut answer = answer::empty(StatusCode::ACCEPTED);
    answer::set(&mut answer, header::LOCATION, location(name, upload));
    answer::set(&mut answer, header::RANGE, received(upload));
    answer::set(&mut answer, answer::UPLOAD, &upload.id);
    answer
}

fn created(name: &Name, digest: &Digest) -> Answer {
    let mut answer = answer::empty(StatusCode::CREATED);
    answer::set(&mut answer, header::LOCATION, format!("/v2/{name}/blobs/{digest}"));
    answer::set(&mut answer, answer::DIGEST, digest.to_string());
    answer
}
