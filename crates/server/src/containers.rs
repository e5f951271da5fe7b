//! `/containers/...`

use http::Method;
use wharf_api::ApiVersion;
use wharf_api::container::{CreateRequest, UpdateRequest, WaitError, WaitResponse};
use wharf_engine::container::{Condition, CreateOptions, ListOptions, RemoveOptions};
use wharf_types::{Error, Platform, Result};

use crate::request::Call;
use crate::response::{self, Answer, created, no_content, ok};
use crate::route::{not_yet, page_not_found};
use crate::{Server, archive, downgrade, execs, logs, stats, streams, transfer, upgrade};

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    match (method, parts) {
        (&Method::GET, ["json"]) => list(server, &call).await,
        (&Method::POST, ["create"]) => create(server, call).await,
        (&Method::POST, ["prune"]) => ok(&server.engine.containers().prune(&call.query.filters()?).await?),
        (&Method::DELETE, [id]) => remove(server, id, &call).await,
        (&Method::GET, [id, action]) => read(server, id, action, call).await,
        (&Method::POST, [id, action]) => change(server, id, action, call).await,
        (&Method::HEAD, [id, "archive"]) => archive::stat(server, id, &call).await,
        (&Method::PUT, [id, "archive"]) => archive::put(server, id, call).await,
        (&Method::GET, [id, "attach", "ws"]) => streams::attach_websocket(server, id, call),
        _ => Err(page_not_found()),
    }
}

async fn read(server: &Server, id: &str, action: &str, call: Call) -> Result<Answer> {
    let containers = server.engine.containers();
    match action {
        "json" => {
            let document = containers.inspect(id, call.query.flag("size")).await?;
            ok(&downgrade::container(document, call.version))
        }
        "top" => ok(&containers.top(id, call.query.option("ps_args").unwrap_or("-ef")).await?),
        "logs" => logs::follow(server, id, &call),
        "changes" => ok(&containers.changes(id).await?),
        "stats" => stats::stats(server, id, &call).await,
        "export" => {
            containers.find(id)?;
            let (containers, id) = (containers.clone(), id.to_owned());
            let write = move |out| async move { containers.export(&id, out).await };
            transfer::download("application/octet-stream", write).await
        }
        "archive" => archive::get(server, id, &call).await,
        _ => Err(page_not_found()),
    }
}

async fn change(server: &Server, id: &str, action: &str, call: Call) -> Result<Answer> {
    let containers = server.engine.containers();
    let query = &call.query;
    match action {
        "start" => containers.start(id).await?,
        "stop" => containers.stop(id, query.option("signal"), query.number("t")?).await?,
        "restart" => containers.restart(id, query.option("signal"), query.number("t")?).await?,
        "kill" => containers.kill(id, query.option("signal")).await?,
        "pause" => containers.pause(id).await?,
        "unpause" => containers.unpause(id).await?,
        "rename" => rename(server, id, query.text("name")).await?,
        "resize" => {
            let (rows, columns) = size(&call)?;
            containers.resize(id, rows, columns).await?;
            return Ok(response::empty(http::StatusCode::OK));
        }
        "update" => {
            let version = call.version;
            let mut request: UpdateRequest = call.json().await?;
            upgrade::update(&mut request, version);
            return ok(&containers.update(id, request).await?);
        }
        "wait" => return wait(server, id, &call).await,
        "attach" => return streams::attach(server, id, call).await,
        "exec" => return execs::create(server, id, call).await,
        _ => return Err(page_not_found()),
    }
    Ok(no_content())
}

async fn list(server: &Server, call: &Call) -> Result<Answer> {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call
            .query
            .number::<i64>("limit")?
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|limit| *limit > 0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    let summaries = server.engine.containers().list(options).await?;
    ok(&downgrade::container_list(summaries, call.version))
}

async fn create(server: &Server, call: Call) -> Result<Answer> {
    let platform = call
        .query
        .option("platform")
        .map(|text| text.parse::<Platform>().map_err(|error| Error::invalid(format!("invalid platform: {error}"))));
    let name = call.query.option("name").map(|name| name.trim_start_matches('/').to_owned());
    let options = CreateOptions { name, platform: platform.transpose()? };
    let version = call.version;
    let request: Option<CreateRequest> = call.optional_json().await?;
    let request = request.ok_or_else(|| Error::invalid("config cannot be empty in order to create a container"))?;
    check_networks(&request, version)?;
    let mut request = request;
    upgrade::create(&mut request, version)?;
    created(&server.engine.containers().create(options, request).await?)
}

/// Until API 1.43 a new container is on one network.
fn check_networks(request: &CreateRequest, version: ApiVersion) -> Result<()> {
    let Some(networking) = request.networking_config.as_ref().filter(|_| version.before(44)) else { return Ok(()) };
    let names: Vec<&str> = networking.endpoints_config.keys().map(String::as_str).collect();
    if names.len() < 2 {
        return Ok(());
    }
    Err(Error::invalid(format!("Container cannot be connected to network endpoints: {}", names.join(", ")))
        .with_hint("connect it to the others afterwards, or use version 1.44 of the API"))
}

async fn remove(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    if call.query.flag("link") {
        return Err(not_yet("removing legacy links"));
    }
    let options = RemoveOptions { force: call.query.flag("force"), volumes: call.query.flag("v") };
    server.engine.containers().remove(id, options).await?;
    Ok(no_content())
}

async fn rename(server: &Server, id: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Neither old nor new names may be empty"));
    }
    server.engine.containers().rename(id, name.trim_start_matches('/')).await
}

/// The size of a terminal, height first.
pub(crate) fn size(call: &Call) -> Result<(u16, u16)> {
    let needed = |name: &str| Error::invalid(format!("a terminal's size needs {name}, a number of characters"));
    let rows = call.query.number("h")?.ok_or_else(|| needed("h"))?;
    let columns = call.query.number("w")?.ok_or_else(|| needed("w"))?;
    Ok((rows, columns))
}

/// The answer's headers go out at once: from then on the client may rely on nothing being missed.
async fn wait(server: &Server, id: &str, call: &Call) -> Result<Answer> {
    let condition = match call.query.text("condition") {
        "" | "not-running" => Condition::NotRunning,
        "next-exit" => Condition::NextExit,
        "removed" => Condition::Removed,
        other => return Err(Error::invalid(format!("invalid condition: {other:?}"))),
    };
    let ended = server.engine.containers().wait(id, condition)?;
    let document = async move {
        match ended.await {
            Ok(code) => WaitResponse { status_code: code.into(), error: None },
            Err(error) => WaitResponse { status_code: 125, error: Some(WaitError { message: error.chain() }) },
        }
    };
    if call.version.before(30) {
        return ok(&document.await);
    }
    Ok(response::json_lines(futures_util::stream::once(document)))
}
