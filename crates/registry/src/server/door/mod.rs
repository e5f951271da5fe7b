//! HTTP: from a request to what the registry does about it, and back.

mod answer;
mod blobs;
mod body;
mod listing;
mod log;
mod manifests;
mod page;
pub(super) mod range;
mod route;
mod uploads;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};

use super::auth::{Caller, Guard};
use super::cache::Cache;
use super::metrics::Metrics;
use super::problem::{Answered, Problem};
use super::registry::Registry;
use body::Pool;
use log::Visit;
use route::Route;

pub use answer::token as token_answer;
pub use body::Body;
pub use log::AccessLog;

/// An answer.
pub type Answer = Response<Body>;

/// What answers requests.
pub struct Door {
    /// The content.
    pub registry: Arc<Registry>,
    /// Who may do what.
    pub guard: Guard,
    /// Where content comes from that is not there.
    pub cache: Cache,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who came.
    pub log: Arc<AccessLog>,
    pool: Arc<Pool>,
}

/// A request taken apart.
pub struct Call {
    head: http::request::Parts,
    body: Option<Incoming>,
    caller: Caller,
}

impl Call {
    /// Who sends it.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The value of a parameter of the query, decoded; empty ones count as none.
    fn query(&self, name: &str) -> Option<String> {
        query(self.head.uri.query().unwrap_or_default(), name)
    }
}

/// The first value of that name in a query or a form.
pub(super) fn query(text: &str, wanted: &str) -> Option<String> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(|text| text.into_owned())
    };
    let pairs = text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs.filter(|(name, _)| decode(name).as_deref() == Some(wanted)).map(|(_, value)| decode(value));
    values.next()?.filter(|value| !value.is_empty())
}

impl Door {
    /// A door to the registry.
    pub fn new(registry: Arc<Registry>, guard: Guard, cache: Cache, metrics: Arc<Metrics>, log: AccessLog) -> Self {
        Self { registry, guard, cache, metrics, log: Arc::new(log), pool: Arc::default() }
    }

    /// Answers one request, whatever happens.
    pub async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Answer {
        let (head, body) = request.into_parts();
        self.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut visit = self.visit(&head, peer);
        let path = percent_encoding::percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let route = Route::read(&path);
        let label = route.as_ref().map_or("none", Route::label);
        let method = head.method.clone();
        let work = async { self.respond(head, body, route?, &mut visit.user).await };
        let answer = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => answer::refusal(&problem),
            Err(_panic) => {
                tracing::error!(%method, path, "the registry failed while it answered; this is a bug");
                answer::refusal(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry failed"))
            }
        };
        visit.status = answer.status().as_u16();
        self.metrics.answered(&method, label, visit.status, visit.began.elapsed());
        answer::finish(answer, &method, visit)
    }

    fn visit(&self, head: &http::request::Parts, peer: SocketAddr) -> Visit {
        let agent = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Visit {
            metrics: Arc::clone(&self.metrics),
            log: Arc::clone(&self.log),
            began: Instant::now(),
            peer,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            agent: agent.to_owned(),
            user: None,
            status: 0,
            sent: 0,
            length: 0,
        }
    }

    async fn respond(
        &self,
        head: http::request::Parts,
        body: Incoming,
        route: Route,
        user: &mut Option<String>,
    ) -> Answered<Answer> {
        match &route {
            Route::Health => return self.health().await,
            Route::Page(asset) => return answer::page(asset, &head.method),
            Route::Token => return self.guard.token(&head, body, user).await,
            _ => {}
        }
        let caller = self.guard.caller(&head).await?;
        *user = caller.user().map(str::to_owned);
        let call = Call { body: (!body.is_end_stream()).then_some(body), head, caller };
        self.dispatch(call, route).await
    }

    async fn dispatch(&self, call: Call, route: Route) -> Answered<Answer> {
        use Route as R;
        let method = call.head.method.clone();
        match (&method, route) {
            (&Method::GET | &Method::HEAD, R::Base) => self.base(&call),
            (&Method::GET, R::Metrics) => self.numbers(&call),
            (&Method::GET, R::Catalog) => self.catalog(&call).await,
            (&Method::GET, R::Tags(name)) => self.tags(&call, &name).await,
            (&Method::GET, R::Referrers(name, digest)) => self.referrers(&call, &name, &digest).await,
            (&Method::GET | &Method::HEAD, R::Manifest(name, refer)) => self.manifest(&call, &name, &refer).await,
            (&Method::PUT, R::Manifest(name, refer)) => self.put_manifest(call, &name, &refer).await,
            (&Method::DELETE, R::Manifest(name, refer)) => self.delete_manifest(&call, &name, &refer).await,
            (&Method::GET | &Method::HEAD, R::Blob(name, digest)) => self.blob(&call, &name, &digest).await,
            (&Method::DELETE, R::Blob(name, digest)) => self.delete_blob(&call, &name, &digest).await,
            (&Method::POST, R::Uploads(name)) => self.begin(call, &name).await,
            (&Method::GET | &Method::HEAD, R::Upload(name, id)) => self.progress(&call, &name, &id).await,
            (&Method::PATCH, R::Upload(name, id)) => self.chunk(call, &name, &id).await,
            (&Method::PUT, R::Upload(name, id)) => self.complete(call, &name, &id).await,
            (&Method::DELETE, R::Upload(name, id)) => self.cancel(&call, &name, &id).await,
            _ => Err(Problem::unsupported(format!("{method} is not possible here"))),
        }
    }
}
