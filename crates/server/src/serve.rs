//! The loop that accepts connections, and what is done with every request whatever it is about.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use wharf_api::ApiVersion;
use wharf_api::system::header as names;
use wharf_types::{Error, Kind, Result};

use crate::listener::{Guest, Listener};
use crate::request::{self, Call, Path};
use crate::response::{self, Answer, AnswerBody};

/// What answers requests, once they are taken apart.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn handle(&self, path: Path, call: Call) -> impl Future<Output = Result<Answer>> + Send;
}

/// How long to wait when no descriptor is left for the next connection.
const BREATH: Duration = Duration::from_millis(100);
/// How long a client may take to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Accepts connections for ever. Ends only when it is dropped; connections live on in tasks of their own.
pub(crate) async fn accept_loop(listener: Listener, handler: Arc<impl Handler>) {
    loop {
        match listener.accept().await {
            Ok(guest) => {
                tokio::spawn(connection(guest, Arc::clone(&handler)));
            }
            Err(error) => {
                tracing::warn!(%listener, %error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection(guest: Guest, handler: Arc<impl Handler>) {
    let stream = match tokio::time::timeout(HEADER_TIMEOUT, guest.admit()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::warn!(%error, "a client was not let in"),
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(&*handler, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        // The client went away or spoke something else; there is nobody to tell.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Answers one request, whatever happens.
async fn answer(handler: &impl Handler, request: Request<Incoming>) -> Answer {
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut answer = match AssertUnwindSafe(respond(handler, request)).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => refuse(&error, &method, uri.path()),
        Err(_panic) => {
            let error = Error::system(format!("the engine failed while it answered {method} {}", uri.path()))
                .with_hint("this is a bug; please report it with the engine's log");
            refuse(&error, &method, uri.path())
        }
    };
    introduce(&mut answer);
    tracing::debug!(%method, %uri, status = answer.status().as_u16(), took = ?began.elapsed(), "answered");
    answer
}

async fn respond(handler: &impl Handler, request: Request<Incoming>) -> Result<Answer> {
    let (path, call) = request::parse(request)?;
    match (call.method(), &path.parts()[..]) {
        (&Method::GET, ["_ping"]) => Ok(ping("OK")),
        (&Method::HEAD, ["_ping"]) => Ok(ping("")),
        _ => handler.handle(path, call).await,
    }
}

fn refuse(error: &Error, method: &Method, path: &str) -> Answer {
    if error.kind().http_status() >= 500 && error.kind() != Kind::NotImplemented {
        tracing::error!(%method, path, error = error.chain(), "a request failed");
    }
    response::error(error)
}

/// Who is there? Answered without asking anyone.
fn ping(text: &'static str) -> Answer {
    let body = AnswerBody::Full(Full::from(text));
    let mut answer = response::with_type(response::with_body(StatusCode::OK, body), "text/plain; charset=utf-8");
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static(names::BUILDER_VERSION), HeaderValue::from_static("2"));
    headers.insert(HeaderName::from_static(names::SWARM), HeaderValue::from_static("inactive"));
    answer
}

/// The headers by which the engine introduces itself in every answer.
fn introduce(answer: &mut Answer) {
    const SERVER: HeaderValue = HeaderValue::from_static(concat!("Wharf/", env!("CARGO_PKG_VERSION"), " (linux)"));
    let headers = answer.headers_mut();
    let version = HeaderValue::try_from(ApiVersion::MAX.to_string());
    if let Ok(version) = version {
        headers.insert(HeaderName::from_static(names::API_VERSION), version);
    }
    headers.insert(HeaderName::from_static(names::DOCKER_EXPERIMENTAL), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static(names::OSTYPE), HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, SERVER);
}

#[cfg(test)]
mod tests;
