//! `GET /events`

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use futures_util::stream;
use jiff::Timestamp;
use wharf_api::ApiVersion;
use wharf_api::event::Message;
use wharf_api::filters::Filters;
use wharf_engine::event::Listener;
use wharf_types::Result;

use crate::Server;
use crate::request::Call;
use crate::response::{self, Answer};
use crate::times;

pub(crate) fn follow(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    let (since, until) = (times::parameter(&call.query, "since")?, times::parameter(&call.query, "until")?);
    let (past, live) = server.engine.events().subscribe();
    let past = past.into_iter().filter(|message| since.is_some_and(|since| time(message) >= nanoseconds(since)));
    let follower = Follower { past: past.collect(), live, filters, until, version: call.version };
    Ok(response::json_lines(stream::unfold(follower, |mut follower| async {
        Some((follower.next().await?, follower))
    })))
}

struct Follower {
    past: VecDeque<Arc<Message>>,
    live: Listener,
    filters: Filters,
    until: Option<Timestamp>,
    version: ApiVersion,
}

impl Follower {
    async fn next(&mut self) -> Option<Message> {
        loop {
            let message = match self.past.pop_front() {
                Some(message) => message,
                None => self.next_live().await?,
            };
            if self.until.is_some_and(|until| time(&message) > nanoseconds(until)) {
                return None;
            }
            if matches(&self.filters, &message) {
                return Some(self.shaped(&message));
            }
        }
    }

    async fn next_live(&mut self) -> Option<Arc<Message>> {
        tokio::select! {
            message = self.live.next() => message,
            () = reached(self.until) => None,
        }
    }

    fn shaped(&self, message: &Message) -> Message {
        let mut message = message.clone();
        if self.version.before(52) {
            message.add_legacy();
        }
        message
    }
}

/// Ready when the time has come; never without one.
async fn reached(until: Option<Timestamp>) {
    let Some(until) = until else { return pending().await };
    let left = until.duration_since(Timestamp::now());
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
}

fn time(message: &Message) -> i128 {
    message.time_nano.into()
}

fn nanoseconds(time: Timestamp) -> i128 {
    time.as_nanosecond()
}

/// Filters that name an object of their own kind.
const OBJECTS: [&str; 10] =
    ["container", "image", "volume", "network", "daemon", "plugin", "service", "node", "secret", "config"];

fn matches(filters: &Filters, message: &Message) -> bool {
    let names_object = |kind: &&str| filters.any(kind, |wanted| is_about(message, kind, wanted));
    let short_action = message.action.split_once(':').map_or(message.action.as_str(), |(action, _)| action);
    filters.any("event", |wanted| message.action == wanted || short_action == wanted)
        && filters.any("type", |wanted| message.kind == wanted)
        && filters.any("scope", |wanted| message.scope == wanted)
        && filters.match_labels(&message.actor.attributes)
        && OBJECTS.iter().all(names_object)
}

/// Whether an event is about the object of this kind with this name, id, or beginning of one. An image's name also
/// finds the events of its containers.
fn is_about(message: &Message, kind: &str, wanted: &str) -> bool {
    let attribute = |key: &str| message.actor.attributes.get(key).map(String::as_str);
    let without_tag =
        |name: &str| name.rsplit_once(':').is_some_and(|(name, tag)| !tag.contains('/') && name == wanted);
    if kind == "image" {
        let named = |name: &str| name == wanted || without_tag(name);
        return match message.kind.as_str() {
            "image" => message.actor.id.starts_with(wanted) || attribute("name").is_some_and(named),
            _ => attribute("image").is_some_and(named),
        };
    }
    message.kind == kind
        && (message.actor.id.starts_with(wanted) || attribute("name").is_some_and(|name| name.starts_with(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_api::event::Actor;

    fn message(kind: &str, action: &str, attributes: &[(&str, &str)]) -> Message {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Message::new(kind, action, Actor { id: "abc123".into(), attributes }, 1, 1_000_000_000)
    }

    #[test]
    fn filters_choose_events() {
        let start = message("container", "start", &[("name", "web"), ("image", "debian:12"), ("tier", "front")]);
        let exec = message("container", "exec_create: ls -l", &[("name", "web")]);
        let chosen = |name: &str, value: &str, message: &Message| matches(&Filters::new().with(name, value), message);
        for (name, value) in [
            ("event", "start"),
            ("type", "container"),
            ("container", "web"),
            ("container", "abc"),
            ("image", "debian:12"),
            ("image", "debian"),
            ("label", "tier=front"),
            ("scope", "local"),
        ] {
            assert!(chosen(name, value, &start), "{name}={value}");
        }
        for (name, value) in
            [("event", "stop"), ("type", "image"), ("container", "db"), ("image", "alpine"), ("volume", "web")]
        {
            assert!(!chosen(name, value, &start), "{name}={value}");
        }
        assert!(chosen("event", "exec_create", &exec));
    }
}
