//! `/volumes/...`

use http::Method;
use wharf_api::volume::{CreateRequest, ListResponse, PruneReport, Volume};
use wharf_api::{ApiVersion, Map};
use wharf_engine::volume::{Request, Volume as Record};
use wharf_types::{Kind, Result};

use crate::Server;
use crate::request::Call;
use crate::response::{Answer, created, no_content, ok};
use crate::route::page_not_found;
use crate::system::folder_size;

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    match (method, parts) {
        (&Method::GET, []) => list(server, &call).await,
        (&Method::POST, ["create"]) => create(server, call).await,
        (&Method::POST, ["prune"]) => prune(server, &call).await,
        (&Method::GET, [name]) => ok(&document(server, &server.engine.volumes().find(name)?).await),
        (&Method::DELETE, [name]) => remove(server, name, call.query.flag("force")).await,
        _ => Err(page_not_found()),
    }
}

async fn list(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    filters.check_names(&["dangling", "driver", "label", "label!", "name"])?;
    let dangling = filters.flag("dangling")?;
    let wanted = |volume: &Record| {
        filters.any("driver", |driver| driver == driver_of(volume))
            && filters.any("name", |name| volume.name.contains(name))
            && filters.match_labels(&volume.labels)
            && dangling.is_none_or(|dangling| dangling != in_use(server, &volume.name))
    };
    let volumes = server.engine.volumes().list();
    let mut documents = Vec::new();
    for volume in volumes.iter().filter(|volume| wanted(volume)) {
        documents.push(document(server, volume).await);
    }
    ok(&ListResponse { volumes: documents, ..ListResponse::default() })
}

async fn create(server: &Server, call: Call) -> Result<Answer> {
    let request: CreateRequest = call.optional_json().await?.unwrap_or_default();
    let request = Request {
        name: Some(request.name).filter(|name| !name.is_empty()),
        driver: request.driver,
        labels: request.labels.into_inner(),
        options: request.driver_opts.into_inner(),
    };
    let record = server.engine.volumes().ensure(request).await?;
    created(&document(server, &record).await)
}

async fn remove(server: &Server, name: &str, force: bool) -> Result<Answer> {
    match server.engine.containers().remove_volume(name).await {
        Err(error) if force && error.kind() == Kind::NotFound => Ok(no_content()),
        result => result.map(|()| no_content()),
    }
}

async fn prune(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    filters.check_names(&["all", "label", "label!"])?;
    // Named volumes are spared since API 1.42, unless all are asked for.
    let all = filters.flag("all")?.unwrap_or(call.version < ApiVersion::new(1, 42));
    let mut report = PruneReport { volumes_deleted: wharf_api::List::empty(), ..PruneReport::default() };
    for volume in server.engine.volumes().list() {
        let wanted = (all || volume.anonymous) && filters.match_labels(&volume.labels);
        if !wanted || in_use(server, &volume.name) {
            continue;
        }
        let size = folder_size(server.engine.volumes().path(&volume.name)).await;
        match server.engine.containers().remove_volume(&volume.name).await {
            Ok(()) => {
                report.volumes_deleted.push(volume.name);
                report.space_reclaimed += size;
            }
            Err(error) => tracing::warn!(volume = volume.name, error = error.chain(), "a volume was not removed"),
        }
    }
    ok(&report)
}

pub(crate) fn in_use(server: &Server, name: &str) -> bool {
    !server.engine.containers().using_volume(name).is_empty()
}

fn driver_of(volume: &Record) -> &str {
    if volume.driver.is_empty() { "local" } else { &volume.driver }
}

pub(crate) async fn document(server: &Server, record: &Record) -> Volume {
    let map = |entries: &std::collections::BTreeMap<String, String>| match entries.is_empty() {
        true => Map::null(),
        false => Map::from(entries.clone()),
    };
    let (mountpoint, status, scope) = server.engine.volumes().place(record).await;
    Volume {
        created_at: record.created.clone(),
        driver: driver_of(record).to_owned(),
        labels: map(&record.labels),
        mountpoint,
        name: record.name.clone(),
        options: map(&record.options),
        scope,
        status,
        ..Volume::default()
    }
}
