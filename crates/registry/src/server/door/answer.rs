//! Answers and their headers.

use http::header::{self, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Body as _;
use serde_json::Value;
use wharf_types::Digest;

use super::log::Visit;
use super::page::{Asset, POLICY};
use super::{Answer, Body};
use crate::server::problem::{Answered, Problem};

/// What clients of all ages look for to know a registry.
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The digest of what the answer is about.
pub const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The id of an upload.
pub const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// An answer without body.
pub fn empty(status: StatusCode) -> Answer {
    with(status, Body::empty())
}

/// An answer with a body.
pub fn with(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// A JSON document.
pub fn json(document: &Value, media_type: &str) -> Answer {
    let mut answer = with(StatusCode::OK, Body::of(document.to_string()));
    set(&mut answer, header::CONTENT_TYPE, media_type);
    answer
}

/// Sets a header; a value that cannot be one is left out.
pub fn set(answer: &mut Answer, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        answer.headers_mut().insert(name, value);
    }
}

/// Says which content the answer is about.
pub fn identify(answer: &mut Answer, digest: &Digest) {
    set(answer, DIGEST, digest.to_string());
    set(answer, header::ETAG, format!("\"{digest}\""));
}

/// A token of our own (Docker's token specification; both names of the token are in use).
pub fn token(token: &str, lifetime: std::time::Duration) -> Answer {
    let document = serde_json::json!({
        "token": token,
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "issued_at": jiff::Timestamp::now().to_string(),
    });
    let mut answer = json(&document, "application/json");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// The specification's error document.
pub fn refusal(problem: &Problem) -> Answer {
    let mut answer = json(&problem.document(), "application/json");
    *answer.status_mut() = problem.status;
    for (name, value) in &problem.headers {
        answer.headers_mut().append(name.clone(), value.clone());
    }
    answer
}

/// A file of the web page.
pub fn page(asset: &'static Asset, method: &Method) -> Answered<Answer> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Problem::unsupported("this page can only be read"));
    }
    let mut answer = with(StatusCode::OK, Body::of(asset.bytes));
    set(&mut answer, header::CONTENT_TYPE, asset.media_type);
    set(&mut answer, header::CONTENT_SECURITY_POLICY, POLICY);
    set(&mut answer, header::CACHE_CONTROL, "no-cache");
    set(&mut answer, header::REFERRER_POLICY, "no-referrer");
    Ok(answer)
}

/// The headers of every answer; for HEAD the body's length without the body.
pub fn finish(mut answer: Answer, method: &Method, mut visit: Visit) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let length = answer.body().size_hint().exact().unwrap_or_default();
    let has_body = method != Method::HEAD && answer.status() != StatusCode::NO_CONTENT;
    if method == Method::HEAD && !answer.headers().contains_key(header::CONTENT_LENGTH) {
        set(&mut answer, header::CONTENT_LENGTH, length.to_string());
    }
    visit.length = if has_body { length } else { 0 };
    answer.map(|body| if has_body { body.watched_by(visit) } else { Body::empty().watched_by(visit) })
}

/// Whether the client has the content already (RFC 9110, `If-None-Match`).
pub fn is_known(condition: Option<&str>, digest: &Digest) -> bool {
    let tag = digest.to_string();
    let matches = |text: &str| text == "*" || text.trim_start_matches("W/").trim_matches('"') == tag;
    condition.is_some_and(|list| list.split(',').map(str::trim).any(matches))
}
