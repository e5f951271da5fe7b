//! The client itself: sending requests and reading answers.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wharf_api::{ApiVersion, ErrorResponse};
use wharf_types::{Error, Kind, Result, ResultExt};

use crate::body::{RequestBody, Upload};
use crate::connection::{Pool, Sender};
use crate::endpoint::Endpoint;
use crate::hijack::Hijacked;
use crate::query::Target;

/// A client of one engine. Cheap to clone; clones share connections and what is known of the engine.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: Pool,
    version: Mutex<Version>,
    user_agent: HeaderValue,
    /// Sent with every request.
    further: HeaderMap,
}

/// At which version requests are sent.
#[derive(Clone, Copy)]
struct Version {
    value: ApiVersion,
    /// The engine is known to serve it, or the person asked for exactly this one.
    settled: bool,
}

/// A request that may be sent more than once.
struct Call {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client of the engine at `endpoint`; connects when it must.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with(endpoint, Version { value: ApiVersion::MAX, settled: false })
    }

    /// A client that speaks exactly `version` and never negotiates.
    pub fn with_version(endpoint: Endpoint, version: ApiVersion) -> Self {
        Self::with(endpoint, Version { value: version, settled: true })
    }

    fn with(endpoint: Endpoint, version: Version) -> Self {
        let user_agent = HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION"), " (linux)"));
        Self(Arc::new(Inner {
            pool: Pool::new(endpoint),
            version: Mutex::new(version),
            user_agent,
            further: HeaderMap::new(),
        }))
    }

    /// The same with further headers in every request, such as a proxy before the engine wants.
    ///
    /// # Errors
    /// `InvalidParameter` for what cannot be a header.
    pub fn with_headers(self, headers: &[(String, String)]) -> Result<Self> {
        if headers.is_empty() {
            return Ok(self);
        }
        let mut further = self.0.further.clone();
        for (name, value) in headers {
            let name: HeaderName = name.parse().map_err(unsendable)?;
            further.insert(name, HeaderValue::try_from(value).map_err(unsendable)?);
        }
        let inner = Inner {
            pool: Pool::new(self.endpoint().clone()),
            version: Mutex::new(self.spoken()),
            user_agent: self.0.user_agent.clone(),
            further,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.pool.endpoint()
    }

    /// The version at which requests are sent; final only after the first answer.
    pub fn api_version(&self) -> ApiVersion {
        self.spoken().value
    }

    /// Finds out the version with a ping, unless it is known.
    pub async fn negotiate(&self) -> Result<ApiVersion> {
        if !self.spoken().settled {
            let theirs = self.ping().await?.api_version.unwrap_or(ApiVersion::MIN);
            self.settle(theirs.min(ApiVersion::MAX));
        }
        Ok(self.spoken().value)
    }

    fn spoken(&self) -> Version {
        *self.0.version.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn settle(&self, value: ApiVersion) {
        *self.0.version.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Version { value, settled: true };
    }

    /// Sends a request and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, method: Method, target: Target) -> Result<T> {
        self.exchange(Call::new(method, target)).await
    }

    /// Sends a JSON body and reads a JSON answer.
    pub(crate) async fn post_json<T: DeserializeOwned>(&self, target: Target, body: &impl Serialize) -> Result<T> {
        self.exchange(Call::new(Method::POST, target).with_json(body)?).await
    }

    /// Sends a request whose answer has no content.
    pub(crate) async fn empty(&self, method: Method, target: Target) -> Result<()> {
        self.read(self.send(Call::new(method, target)).await?).await.map(drop)
    }

    /// Sends a JSON body; the answer has no content.
    pub(crate) async fn post_json_empty(&self, target: Target, body: &impl Serialize) -> Result<()> {
        let call = Call::new(Method::POST, target).with_json(body)?;
        self.read(self.send(call).await?).await.map(drop)
    }

    /// Sends a request and gives the answer's headers.
    pub(crate) async fn head(&self, target: Target) -> Result<HeaderMap> {
        let (response, sender) = self.send(Call::new(Method::HEAD, target)).await?;
        let headers = response.headers().clone();
        self.read((response, sender)).await?;
        Ok(headers)
    }

    /// As [`Client::head`], on a path without a version: works with engines of any version.
    pub(crate) async fn head_unversioned(&self, path: &str) -> Result<HeaderMap> {
        let mut request =
            self.request(&Call::new(Method::HEAD, Target::new(path)), RequestBody::known(Bytes::new()))?;
        *request.uri_mut() = path.parse().map_err(unsendable)?;
        let (response, sender) = check(self.0.pool.send(request).await?).await?;
        let headers = response.headers().clone();
        self.read((response, sender)).await?;
        Ok(headers)
    }

    /// Sends a request; the answer's headers are there when this returns, its body may take long.
    pub(crate) async fn open(&self, method: Method, target: Target) -> Result<(Response<Incoming>, Sender)> {
        self.send(Call::new(method, target)).await
    }

    /// Sends a request whose answer is a stream; its headers are there when this returns.
    pub(crate) async fn stream(&self, method: Method, target: Target) -> Result<Response<Incoming>> {
        self.stream_with(method, target, HeaderMap::new()).await
    }

    /// As [`Client::stream`], with further headers.
    pub(crate) async fn stream_with(
        &self,
        method: Method,
        target: Target,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>> {
        let call = Call { headers, ..Call::new(method, target) };
        Ok(self.send(call).await?.0)
    }

    /// Sends a body that is no JSON of the API's own; gives the answer's headers.
    pub(crate) async fn send_bytes(
        &self,
        method: Method,
        target: Target,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HeaderMap> {
        let (response, sender) = self.send(Call { method, target, headers, body }).await?;
        let headers = response.headers().clone();
        self.read((response, sender)).await?;
        Ok(headers)
    }

    /// Sends a large body; the answer may be a stream. Negotiates first, for the body cannot be sent twice.
    pub(crate) async fn upload(
        &self,
        method: Method,
        target: Target,
        body: Upload,
        content_type: &'static str,
    ) -> Result<(Response<Incoming>, Sender)> {
        self.negotiate().await?;
        let mut call = Call::new(method, target);
        call.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let request = self.request(&call, RequestBody::Upload(body))?;
        check(self.0.pool.send(request).await?).await
    }

    /// Sends a request after which the connection belongs to a process's streams.
    pub(crate) async fn hijack(&self, target: Target, body: Option<&(impl Serialize + ?Sized)>) -> Result<Hijacked> {
        let mut call = Call::new(Method::POST, target);
        if let Some(body) = body {
            call = call.with_json(body)?;
        }
        call.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        call.headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        let (response, _sender) = self.send(call).await?;
        Hijacked::new(response).await
    }

    async fn exchange<T: DeserializeOwned>(&self, call: Call) -> Result<T> {
        let bytes = self.read(self.send(call).await?).await?;
        wharf_api::decode(&bytes)
            .map_err(|error| Error::system("the engine's answer could not be understood").caused_by(error))
    }

    /// Reads an answer to its end and keeps the connection.
    pub(crate) async fn read(&self, (response, sender): (Response<Incoming>, Sender)) -> Result<Bytes> {
        let body = response.into_body().collect().await.map_err(|error| self.0.pool.broken(error))?;
        self.0.pool.give_back(sender).await;
        Ok(body.to_bytes())
    }

    /// Sends a request, again at a lower version if the engine asks for one, and makes errors of error answers.
    async fn send(&self, call: Call) -> Result<(Response<Incoming>, Sender)> {
        let settled = self.spoken().settled;
        let request = self.request(&call, RequestBody::known(call.body.clone()))?;
        match check(self.0.pool.send(request).await?).await {
            Ok(answer) => {
                if !settled {
                    self.settle(self.spoken().value);
                }
                Ok(answer)
            }
            Err(error) if !settled && is_too_new(&error) => {
                self.negotiate().await?;
                let request = self.request(&call, RequestBody::known(call.body.clone()))?;
                check(self.0.pool.send(request).await?).await
            }
            Err(error) => Err(error),
        }
    }

    fn request(&self, call: &Call, body: RequestBody) -> Result<Request<RequestBody>> {
        let uri = format!("/v{}{}", self.spoken().value, call.target.as_str());
        let mut request = Request::builder().method(&call.method).uri(uri).body(body).map_err(unsendable)?;
        *request.headers_mut() = call.headers.clone();
        let host = HeaderValue::try_from(self.endpoint().host_header()).map_err(unsendable)?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::USER_AGENT, self.0.user_agent.clone());
        request.headers_mut().extend(self.0.further.clone());
        Ok(request)
    }
}

impl Call {
    fn new(method: Method, target: Target) -> Self {
        Self { method, target, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn with_json(mut self, body: &(impl Serialize + ?Sized)) -> Result<Self> {
        self.body = serde_json::to_vec(body).map_err(unsendable)?.into();
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }
}

/// An answer with a status of success, or the error that it carries. "Not modified" is a success: the wish is fulfilled.
async fn check((response, sender): (Response<Incoming>, Sender)) -> Result<(Response<Incoming>, Sender)> {
    let status = response.status();
    let fine = status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS || status == StatusCode::NOT_MODIFIED;
    if fine {
        return Ok((response, sender));
    }
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(), // the status alone says enough
    };
    Err(error_of(status, &body))
}

fn error_of(status: StatusCode, body: &[u8]) -> Error {
    let described = wharf_api::decode::<ErrorResponse>(body).ok().filter(|described| !described.message.is_empty());
    let described = described.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        let text = if text.is_empty() { format!("the engine answered {status}") } else { text };
        ErrorResponse { message: text, ..ErrorResponse::default() }
    });
    described.into_error(status.as_u16())
}

/// The one error that is told apart by its text: the API has no other sign for it.
fn is_too_new(error: &Error) -> bool {
    error.kind() == Kind::InvalidParameter && error.to_string().contains("is too new")
}

fn unsendable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("the request cannot be expressed in HTTP").caused_by(error)
}

/// A header from text that may hold anything.
pub(crate) fn text_header(name: HeaderName, value: &str) -> Result<HeaderMap> {
    let value = HeaderValue::try_from(value).map_err(unsendable)?;
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// Reads JSON that came in a header.
pub(crate) fn decode_json<T: DeserializeOwned>(json: &[u8], what: &str) -> Result<T> {
    wharf_api::decode(json).map_err(std::io::Error::other).with_context(|| format!("{what} could not be understood"))
}
