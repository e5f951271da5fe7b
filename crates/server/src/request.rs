//! Requests, taken apart.

use std::str::FromStr;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::request::Parts;
use http::{Method, Request, header};
use http_body_util::{BodyExt, BodyStream, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use tokio_util::io::{StreamReader, SyncIoBridge};
use wharf_api::ApiVersion;
use wharf_api::filters::Filters;
use wharf_types::{Error, Result};

/// The largest JSON document that is read. Configurations are a few kilobytes; this bounds what one client can take.
const DOCUMENT_LIMIT: usize = 4 * 1024 * 1024;

/// A request whose path has been read.
pub(crate) struct Call {
    pub(crate) version: ApiVersion,
    pub(crate) query: Query,
    request: Request<Incoming>,
    /// The body, where somebody had to see it before it is used.
    ahead: Option<Bytes>,
}

/// The path of a request without its version, in parts, each with its escapes undone.
pub(crate) struct Path(Vec<String>);

impl Path {
    /// The parts, for patterns.
    pub(crate) fn parts(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// Takes a request apart. Fails for versions that are not served.
pub(crate) fn parse(request: Request<Incoming>) -> Result<(Path, Call)> {
    let (version, path) = split_version(request.uri().path());
    let version = version.map_or(Ok(ApiVersion::MAX), ApiVersion::check_served)?;
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let path = Path(path.split('/').filter(|part| !part.is_empty()).map(decode).collect());
    let query = Query::parse(request.uri().query().unwrap_or_default());
    Ok((path, Call { version, query, request, ahead: None }))
}

/// `/v1.47/info` is version 1.47 and `/info`.
fn split_version(path: &str) -> (Option<ApiVersion>, &str) {
    let after = path.strip_prefix("/v").unwrap_or_default();
    let (version, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    match version.parse() {
        Ok(version) => (Some(version), rest),
        Err(_) => (None, path),
    }
}

impl Call {
    pub(crate) fn method(&self) -> &Method {
        self.request.method()
    }

    /// Whether the client asks that the connection become something else.
    pub(crate) fn wants_upgrade(&self) -> bool {
        self.request.headers().contains_key(header::UPGRADE)
    }

    /// A header, if it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// All values of a header that may be repeated.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let values = self.request.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    }

    /// All headers.
    pub(crate) fn all_headers(&self) -> &http::HeaderMap {
        self.request.headers()
    }

    /// The query as it was sent.
    pub(crate) fn raw_query(&self) -> Option<&str> {
        self.request.uri().query()
    }

    /// Reads a JSON body before it is used: whoever uses it gets these bytes and no others. Other bodies stay where they
    /// are, and nothing reads them as JSON later.
    pub(crate) async fn read_ahead(&mut self) -> Result<Option<Bytes>> {
        if self.ahead.is_none() && is_json(self.request.headers()) {
            self.ahead = Some(read_limited(self.request.body_mut()).await?);
        }
        Ok(self.ahead.clone())
    }

    /// The whole body.
    pub(crate) async fn bytes(self) -> Result<Bytes> {
        match self.ahead {
            Some(bytes) => Ok(bytes),
            None => read_limited(self.request.into_body()).await,
        }
    }

    /// The bare request, for an upgrade.
    pub(crate) fn into_request(self) -> Request<Incoming> {
        self.request
    }

    /// The body as a JSON document, which must be there.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let document = self.optional_json().await?;
        document.ok_or_else(|| Error::invalid("invalid JSON: got EOF while reading request body"))
    }

    /// The body as a JSON document, if there is a body.
    pub(crate) async fn optional_json<T: DeserializeOwned>(self) -> Result<Option<T>> {
        Ok(self.take_json().await?.0)
    }

    /// As [`Call::optional_json`], where the request is needed afterwards.
    pub(crate) async fn take_json<T: DeserializeOwned>(self) -> Result<(Option<T>, Request<()>)> {
        let (parts, body) = self.request.into_parts();
        let bytes = match self.ahead {
            Some(bytes) => bytes,
            None => read_limited(body).await?,
        };
        let document = read_json(&parts, &bytes)?;
        Ok((document, Request::from_parts(parts, ())))
    }

    /// The body as a stream that can be read where blocking is allowed; must be called within a runtime.
    pub(crate) fn into_reader(self) -> impl std::io::Read + Send + 'static {
        let pieces = TryStreamExt::map_err(BodyStream::new(self.request.into_body()), std::io::Error::other);
        let pieces = pieces.try_filter_map(|frame| async { Ok(frame.into_data().ok()) });
        let rest = SyncIoBridge::new(StreamReader::new(Box::pin(pieces)));
        std::io::Read::chain(std::io::Cursor::new(self.ahead.unwrap_or_default()), rest)
    }
}

fn read_json<T: DeserializeOwned>(parts: &Parts, bytes: &Bytes) -> Result<Option<T>> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    check_is_json(parts)?;
    let invalid = |error: serde_json::Error| Error::invalid(format!("invalid JSON: {error}"));
    wharf_api::decode(bytes).map(Some).map_err(invalid)
}

async fn read_limited<B>(body: B) -> Result<Bytes>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, DOCUMENT_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Error::invalid(format!("request body is larger than {} MiB", DOCUMENT_LIMIT >> 20)))
        }
        Err(error) => Err(Error::invalid("the request's body broke off").caused_by(error)),
    }
}

fn content_type(headers: &http::HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let essence = content_type(headers).split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn check_is_json(parts: &Parts) -> Result<()> {
    if is_json(&parts.headers) {
        return Ok(());
    }
    let content_type = content_type(&parts.headers);
    Err(Error::invalid(format!("unsupported Content-Type header ({content_type}): must be 'application/json'")))
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) => (decode(name), decode(value)),
            None => (decode(part), String::new()),
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The value of a parameter, empty where it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The value of a parameter, if it is there and not empty.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Whether a parameter is on: Docker takes everything for yes but these.
    pub(crate) fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// As [`Query::flag`], with a default where it is absent.
    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.has(name) { self.flag(name) } else { default }
    }

    /// The number of a parameter, if it is there and not empty.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let invalid = |value| Error::invalid(format!("invalid value {value:?} for {name}: a number is needed"));
        self.option(name).map(|value| value.parse().map_err(|_| invalid(value))).transpose()
    }

    /// The filters.
    pub(crate) fn filters(&self) -> Result<Filters> {
        Filters::parse(self.text("filters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_split_off_paths() {
        let parsed = |path| split_version(path);
        assert_eq!(parsed("/v1.47/info"), (Some(ApiVersion::new(1, 47)), "/info"));
        assert_eq!(parsed("/info"), (None, "/info"));
        assert_eq!(parsed("/volumes"), (None, "/volumes"));
        assert_eq!(parsed("/v1.x/info"), (None, "/v1.x/info"));
        assert_eq!(parsed("/v1.47"), (Some(ApiVersion::new(1, 47)), ""));
    }

    #[test]
    fn parameters_are_read_as_docker_reads_them() {
        let query = Query::parse("a=1&b=&c&d=x%26y+z&e=0&f=False&t=-1&names=p&names=q");
        assert!(query.flag("a") && !query.flag("b") && !query.flag("c") && !query.flag("e") && !query.flag("f"));
        assert_eq!(query.text("d"), "x&y z");
        assert_eq!(query.number::<i64>("t").unwrap(), Some(-1));
        assert!(query.number::<i64>("d").is_err());
        assert_eq!(query.all("names").collect::<Vec<_>>(), ["p", "q"]);
        assert!(query.flag_or("missing", true) && !query.flag_or("e", true));
    }
}
