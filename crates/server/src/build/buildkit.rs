//! BuildKit's doors: two upgrades, and the classic one with `version=2`.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::Upgraded;
use serde::Deserialize;
use wharf_buildkit::{BuildKit, Introduction, LegacyBuild};
use wharf_types::{Error, Result};

use crate::Server;
use crate::request::{Call, Query};
use crate::response::{self, Answer, json_line};

/// `POST /grpc`: the client calls.
pub(crate) fn grpc(server: &Server, call: Call) -> Result<Answer> {
    let buildkit = server.buildkit.clone();
    upgrade(call, move |connection| async move { buildkit.serve_calls(connection).await })
}

/// `POST /session`: the client is called.
pub(crate) fn session(server: &Server, call: Call) -> Result<Answer> {
    let text = |name: &str| call.header(name).unwrap_or_default().to_owned();
    let introduction = Introduction {
        id: text("x-docker-expose-session-uuid"),
        shared_key: text("x-docker-expose-session-sharedkey"),
        methods: call.headers("x-docker-expose-session-grpc-method"),
    };
    if introduction.id.is_empty() {
        return Err(Error::invalid("the session has no id: X-Docker-Expose-Session-Uuid is missing"));
    }
    let buildkit: BuildKit = server.buildkit.clone();
    upgrade(call, move |connection| async move { buildkit.keep_session(connection, introduction).await })
}

/// Answers `101`, and goes on in HTTP/2.
fn upgrade<W>(call: Call, go_on: impl FnOnce(Upgraded) -> W + Send + 'static) -> Result<Answer>
where
    W: Future<Output = ()> + Send + 'static,
{
    if !call.header("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("h2c")) {
        return Err(Error::invalid("no upgrade proto in request").with_hint("ask for an upgrade to h2c"));
    }
    let upgraded = hyper::upgrade::on(call.into_request());
    tokio::spawn(async move {
        match upgraded.await {
            Ok(connection) => go_on(connection).await,
            Err(error) => tracing::debug!(%error, "a client went away before its upgrade"),
        }
    });
    let mut answer = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("h2c"));
    Ok(answer)
}

/// One place of `outputs`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

/// `POST /build?version=2`.
pub(super) fn build(server: &Server, query: &Query) -> Result<Answer> {
    let build = of_query(query)?;
    let (receiver, task) = server.buildkit.build(build);
    let running = Running { receiver, task };
    Ok(response::stream("application/json", running.lines()))
}

fn of_query(query: &Query) -> Result<LegacyBuild> {
    let mut attrs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| attrs.push((name.to_owned(), value.to_owned()));
    for (parameter, attr) in [("dockerfile", "filename"), ("target", "target"), ("platform", "platform")] {
        if let Some(value) = query.option(parameter) {
            add(attr, value);
        }
    }
    if query.flag("nocache") {
        add("no-cache", "");
    }
    if query.flag("pull") {
        add("image-resolve-mode", "pull");
    }
    if let Some(mode) = query.option("networkmode") {
        add("force-network-mode", mode);
    }
    let hosts: Vec<&str> = query.all("extrahosts").flat_map(|text| text.split(',')).filter(|t| !t.is_empty()).collect();
    if !hosts.is_empty() {
        add("add-hosts", &hosts.join(","));
    }
    if let Some(remote) = query.option("remote").filter(|remote| *remote != "client-session") {
        add("context", remote);
    }
    for (parameter, prefix) in [("buildargs", "build-arg:"), ("labels", "label:")] {
        let text = query.text(parameter);
        let given: BTreeMap<String, Option<String>> = match text {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text)
                .map_err(|error| Error::invalid(format!("error reading {parameter}: {error}")).caused_by(error))?,
        };
        for (name, value) in given {
            if let Some(value) = value {
                add(&format!("{prefix}{name}"), &value);
            }
        }
    }
    let outputs: Vec<Output> = match query.text("outputs") {
        "" => Vec::new(),
        text => serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("error reading outputs: {error}")).caused_by(error))?,
    };
    let reference = match query.text("buildid") {
        "" => format!("legacy-{}", query.text("session")),
        id => id.to_owned(),
    };
    Ok(LegacyBuild {
        session: query.text("session").to_owned(),
        reference,
        attrs,
        outputs: outputs.into_iter().map(|o| (o.kind, o.attrs.unwrap_or_default().into_iter().collect())).collect(),
        names: query.all("t").filter(|text| !text.is_empty()).map(str::to_owned).collect(),
    })
}

/// A build whose documents are passed on. Dropping it ends the build.
struct Running {
    receiver: tokio::sync::mpsc::UnboundedReceiver<serde_json::Value>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn lines(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        stream::unfold(self, |mut this| async move {
            let document = this.receiver.recv().await?;
            Some((json_line(&document), this))
        })
    }
}
