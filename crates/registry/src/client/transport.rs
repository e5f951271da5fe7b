//! Requests and answers: connections, redirects, plain HTTP where it is allowed, and further tries.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Client, Method, NoProxy, Proxy, Response, Url};
use wharf_types::{Error, Result};

use super::auth::Authorizer;
use super::failure::{Again, Failure};
use super::host::{self, Host};
use super::hosts_toml::Trust;
use super::settings::Settings;
use super::{retry, tls};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(20);
/// How long an answer may take to begin, and to go on.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);
/// How long what was sent may stay without acknowledgement by the other side's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// Redirects in a row, at most.
const REDIRECTS: usize = 10;
/// Clients and lists of hosts that are kept, at most.
const KEPT: usize = 256;

/// Connections to all registries.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) settings: Arc<Settings>,
    clients: Mutex<HashMap<Trust, Client>>,
    /// Hosts that were found to speak plain HTTP.
    plain: Mutex<HashSet<String>>,
}

/// A request. Its body, if it is a stream, can be sent only once.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

/// The body of a request.
pub(crate) enum Payload {
    Bytes(Bytes),
    Once(Mutex<Option<Body>>),
}

impl Call {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Payload::Bytes(Bytes::new()) }
    }

    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(crate) fn with_bytes(mut self, bytes: Bytes) -> Self {
        self.body = Payload::Bytes(bytes);
        self
    }

    /// A body of so many bytes that comes as it is needed.
    pub(crate) fn with_stream(mut self, body: Body, len: u64) -> Self {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        self.body = Payload::Once(Mutex::new(Some(body)));
        self
    }

    fn is_repeatable(&self) -> bool {
        matches!(self.body, Payload::Bytes(_))
    }

    fn take_body(&self) -> Option<Body> {
        match &self.body {
            Payload::Bytes(bytes) => Some(Body::from(bytes.clone())),
            Payload::Once(body) => body.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), clients: Mutex::default(), plain: Mutex::default() }
    }

    /// Sends a request to `host`, or to where it redirects. Credentials, the host's own headers and its client
    /// certificate go to no other host and port.
    pub(crate) async fn exchange(
        &self,
        host: &Host,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let mut url = self.known_plain(call.url.clone());
        let mut own = is_same(&url, &self.known_plain(host.base.clone()));
        // A token server elsewhere gets the password that is meant for it, but nothing else of the host.
        let mut authorization = authorization;
        for _ in 0..REDIRECTS {
            let trust = if own { host.trust.clone() } else { self.trust_elsewhere(host, &url) };
            let mut headers = call.headers.clone();
            if own {
                headers.extend(host.headers.clone());
            }
            if let Some(value) = authorization {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let (response, used) = match self.send(&trust, call, url.clone(), headers).await {
                Ok(answered) => answered,
                Err(failure) => {
                    // Somebody may lay other certificates there now, under the same names.
                    if !matches!(failure.again, Again::After(_)) {
                        self.forget(&trust);
                    }
                    return Err(failure);
                }
            };
            let Some(next) = redirect(call, &response, &used) else { return Ok(response) };
            if !is_same(&next, &used) {
                (own, authorization) = (false, None);
            }
            url = next;
        }
        Err(Error::system(format!("{} redirects without end", host.authority())).into())
    }

    /// Sends once, over plain HTTP if the host allows that and does not speak TLS.
    async fn send(&self, trust: &Trust, call: &Call, url: Url, headers: HeaderMap) -> Result<(Response, Url), Failure> {
        let client = self.client(trust)?;
        let may_be_plain = url.scheme() == "https" && self.settings_allow_plain(trust, &url);
        let name = host::authority(&url);
        let body = call.take_body().ok_or_else(|| Failure::passing(Error::system("the request was sent before")))?;
        let retry_body = call.is_repeatable().then(|| call.take_body()).flatten();
        match timed(&name, call, client.request(call.method.clone(), url.clone()).headers(headers.clone()).body(body))
            .await
        {
            Ok(response) => Ok((response, url)),
            Err(Sent::Failed(error)) if may_be_plain && error.is_connect() => {
                let mut plain = url.clone();
                let (true, Some(body)) = (plain.set_scheme("http").is_ok(), retry_body) else {
                    return Err(Failure::of_transport(&name, error));
                };
                let request = client.request(call.method.clone(), plain.clone()).headers(headers).body(body);
                let response = timed(&name, call, request).await.map_err(|sent| sent.into_failure(&name))?;
                self.plain.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
                Ok((response, plain))
            }
            Err(sent) => Err(sent.into_failure(&name)),
        }
    }

    fn settings_allow_plain(&self, trust: &Trust, url: &Url) -> bool {
        trust.skip_verify && self.settings.is_insecure(&host::authority(url), &trust.authorities)
    }

    /// The same address, over plain HTTP where the host is known to speak nothing else.
    pub(crate) fn known_plain(&self, mut url: Url) -> Url {
        let plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if url.scheme() == "https" && plain.contains(&host::authority(&url)) {
            // Between these two schemes it always succeeds.
            let _ = url.set_scheme("http");
        }
        url
    }

    /// Authorities are no secret, so they are kept; a certificate of one's own is not shown to others.
    fn trust_elsewhere(&self, host: &Host, url: &Url) -> Trust {
        Trust {
            authorities: host.trust.authorities.clone(),
            clients: Vec::new(),
            skip_verify: self.settings.is_insecure(&host::authority(url), &host.trust.authorities),
        }
    }

    fn client(&self, trust: &Trust) -> Result<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(trust) {
            return Ok(client.clone());
        }
        if clients.len() >= KEPT {
            clients.clear();
        }
        let client = build(&self.settings, trust)?;
        clients.insert(trust.clone(), client.clone());
        Ok(client)
    }

    /// Forgets clients, so that certificates that have changed are read anew.
    fn forget(&self, trust: &Trust) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(trust);
    }
}

fn build(settings: &Settings, trust: &Trust) -> Result<Client> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls::config(trust)?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(&settings.user_agent)
        .connect_timeout(CONNECT)
        .tcp_user_timeout(UNACKNOWLEDGED)
        .no_proxy();
    let except = format!("localhost,127.0.0.0/8,::1,{}", settings.proxies.except.as_deref().unwrap_or_default());
    let wrong = |error| Error::invalid("a proxy's address is not valid").caused_by(error);
    if let Some(url) = &settings.proxies.http {
        builder = builder.proxy(Proxy::http(url).map_err(wrong)?.no_proxy(NoProxy::from_string(&except)));
    }
    if let Some(url) = &settings.proxies.https {
        builder = builder.proxy(Proxy::https(url).map_err(wrong)?.no_proxy(NoProxy::from_string(&except)));
    }
    builder.build().map_err(|error| Error::system("the HTTP client cannot be set up").caused_by(error))
}

enum Sent {
    Failed(reqwest::Error),
    Silent,
}

impl Sent {
    fn into_failure(self, host: &str) -> Failure {
        match self {
            Self::Failed(error) => Failure::of_transport(host, error),
            Self::Silent => Failure::passing(Error::system(format!("{host} does not answer in time"))),
        }
    }
}

/// An upload may take as long as it takes; everything else is answered soon or not at all.
async fn timed(_host: &str, call: &Call, request: reqwest::RequestBuilder) -> Result<Response, Sent> {
    let answer = request.send();
    if !call.is_repeatable() {
        return answer.await.map_err(Sent::Failed);
    }
    match tokio::time::timeout(SILENCE, answer).await {
        Ok(answer) => answer.map_err(Sent::Failed),
        Err(_) => Err(Sent::Silent),
    }
}

/// Where an answer says to go instead.
fn redirect(call: &Call, response: &Response, from: &Url) -> Option<Url> {
    let keeps_method = call.method == Method::GET || call.method == Method::HEAD;
    let follows = match response.status().as_u16() {
        301..=303 => keeps_method,
        307 | 308 => call.is_repeatable(),
        _ => false,
    };
    let next = from.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
    (follows && matches!(next.scheme(), "http" | "https")).then_some(next)
}

/// Same scheme, host and port.
fn is_same(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// All of an answer's body, if it is not larger than `limit` bytes.
pub(crate) async fn read_limited(mut response: Response, limit: usize) -> Result<Bytes, Failure> {
    let host = host::authority(response.url());
    let mut body = Vec::new();
    loop {
        let piece = tokio::time::timeout(SILENCE, response.chunk()).await;
        let piece = piece.map_err(|_| Failure::passing(Error::system(format!("{host} does not go on answering"))))?;
        let Some(piece) = piece.map_err(|error| Failure::of_transport(&host, error))? else { return Ok(body.into()) };
        if body.len() + piece.len() > limit {
            return Err(
                Error::invalid(format!("{host} answers with more than the {limit} bytes allowed for it")).into()
            );
        }
        body.extend_from_slice(&piece);
    }
}

/// One host as one person sees it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) transport: Arc<Transport>,
    pub(crate) host: Arc<Host>,
    pub(crate) auth: Arc<Authorizer>,
}

impl Door {
    /// An address below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Result<Url> {
        let joined = self.host.base.join(path);
        let mut url = joined.map_err(|error| Error::invalid(format!("{path:?} is no address")).caused_by(error))?;
        if let Some(namespace) = &self.host.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// Sends a request until it succeeds or there is no hope; answers with any status below 400.
    pub(crate) async fn send(&self, call: &Call, scopes: &[String]) -> Result<Response, Failure> {
        let mut failures = 0;
        loop {
            let failure = match self.try_once(call, scopes).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            failures += 1;
            let Again::After(least) = failure.again else { return Err(failure) };
            if failures >= self.transport.settings.attempts || !call.is_repeatable() {
                return Err(failure);
            }
            let pause = least.unwrap_or_default().max(retry::pause(failures));
            tracing::debug!(error = %failure.error.chain(), ?pause, "a request is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request once, or once more when the host first says how it wants to know who asks.
    pub(crate) async fn try_once(&self, call: &Call, scopes: &[String]) -> Result<Response, Failure> {
        let mut tries = 0;
        loop {
            let authorization = self.auth.header(&self.transport, &self.host, scopes).await?;
            let response = self.transport.exchange(&self.host, call, authorization.as_ref()).await?;
            tries += 1;
            let is_refused = response.status() == 401 && tries <= 2;
            if is_refused
                && self.auth.challenged(response.headers(), authorization.as_ref()).await
                && call.is_repeatable()
            {
                continue;
            }
            if response.status().as_u16() >= 400 {
                return Err(Failure::of_answer(&self.host.authority(), response).await);
            }
            return Ok(response);
        }
    }
}
