//! What there is: the base, lists of repositories and tags, health and numbers.

use http::{StatusCode, header};
use serde_json::json;

use super::{Answer, Body, Call, Door, answer};
use crate::server::auth::Action;
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};

/// How many repositories are listed at once where the client does not say.
const CATALOG_PAGE: usize = 100;
/// And at most.
const MAX_PAGE: usize = 10_000;

impl Door {
    /// `/v2/`: whether this is a registry, and whether one is let in.
    pub(super) fn base(&self, call: &Call) -> Answered<Answer> {
        self.guard.check_base(call)?;
        Ok(answer::json(&json!({}), "application/json"))
    }

    /// `/v2/_catalog`: those repositories that the caller may pull from.
    pub(super) async fn catalog(&self, call: &Call) -> Answered<Answer> {
        self.guard.check_catalog(call)?;
        let names = self.registry.catalog().await?;
        let names: Vec<String> =
            names.into_iter().filter(|name| self.guard.may_list(call, name)).map(|name| name.to_string()).collect();
        let page = Page::read(call, Some(CATALOG_PAGE))?.cut(names);
        let mut answer = answer::json(&json!({ "repositories": page.items }), "application/json");
        if let Some(next) = page.next {
            answer::set(&mut answer, header::LINK, format!("</v2/_catalog?{next}>; rel=\"next\""));
        }
        Ok(answer)
    }

    /// `/v2/NAME/tags/list`.
    pub(super) async fn tags(&self, call: &Call, name: &Name) -> Answered<Answer> {
        self.guard.check(call, name, Action::Pull)?;
        let tags = match self.cache.serves(name) {
            Some(upstream) => self.cache.tags(&self.registry, upstream, name, &self.metrics).await?,
            None => self.registry.tags(name).await?,
        };
        let page = Page::read(call, None)?.cut(tags);
        let document = json!({ "name": name.as_str(), "tags": page.items });
        let mut answer = answer::json(&document, "application/json");
        if let Some(next) = page.next {
            answer::set(&mut answer, header::LINK, format!("</v2/{name}/tags/list?{next}>; rel=\"next\""));
        }
        Ok(answer)
    }

    /// `/health`: 200 while content can be read and written.
    pub(super) async fn health(&self) -> Answered<Answer> {
        match self.registry.store().check().await {
            Ok(()) => Ok(answer::json(&json!({ "status": "ok" }), "application/json")),
            Err(error) => {
                tracing::error!(error = error.chain(), "the store cannot be used");
                let mut answer =
                    answer::json(&json!({ "status": "failing", "reason": error.to_string() }), "application/json");
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok(answer)
            }
        }
    }

    /// `/metrics`.
    pub(super) fn numbers(&self, call: &Call) -> Answered<Answer> {
        self.guard.check_metrics(call)?;
        let mut answer = answer::with(StatusCode::OK, Body::of(self.metrics.text()));
        answer::set(&mut answer, header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
        Ok(answer)
    }
}

/// Which part of a sorted list a request wants (distribution-spec, "Listing Tags").
struct Page {
    last: Option<String>,
    limit: Option<usize>,
}

/// A part of a list, and the query for the next one.
struct Cut {
    items: Vec<String>,
    next: Option<String>,
}

impl Page {
    fn read(call: &Call, default: Option<usize>) -> Answered<Self> {
        let limit = match call.query("n") {
            None => default,
            Some(text) => {
                let number: usize = text
                    .parse()
                    .map_err(|_| Problem::number_invalid("n is a number of entries").about(json!({ "n": text })))?;
                Some(number.min(MAX_PAGE))
            }
        };
        Ok(Self { last: call.query("last"), limit })
    }

    fn cut(self, mut items: Vec<String>) -> Cut {
        if let Some(last) = &self.last {
            items.drain(..items.partition_point(|item| item <= last));
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        // A page of nothing has no last entry to go on from.
        let next = last.map(|last| {
            let last = percent_encoding::utf8_percent_encode(last, percent_encoding::NON_ALPHANUMERIC);
            format!("last={last}&n={limit}")
        });
        Cut { items, next }
    }
}
