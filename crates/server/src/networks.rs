//! `/networks/...`

use std::collections::BTreeMap;

use http::Method;
use wharf_api::network::{EndpointResource, Ipam, IpamConfig, Network, PruneReport};
use wharf_api::{List, Map};
use wharf_engine::network::{Driver, Network as Record};
use wharf_types::Result;

use crate::Server;
use crate::request::Call;
use crate::response::{Answer, ok};
use crate::route::{not_yet, page_not_found};

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    match (method, parts) {
        (&Method::GET, []) => list(server, &call),
        (&Method::GET, [name]) => inspect(server, name),
        (&Method::POST, ["create"]) => Err(not_yet("creating networks")),
        (&Method::POST, ["prune"]) => prune(&call),
        (&Method::DELETE, [_]) => Err(not_yet("removing networks")),
        (&Method::POST, [_, "connect" | "disconnect"]) => Err(not_yet("connecting containers afterwards")),
        _ => Err(page_not_found()),
    }
}

fn list(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    filters.check_names(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
    let in_use = |network: &Network, record: &Record| {
        is_builtin(network) || !server.engine.networks().held_on(record.id).is_empty()
    };
    let dangling = filters.flag("dangling")?;
    let wanted = |network: &Network, record: &Record| {
        filters.any("driver", |driver| network.driver == driver)
            && filters.any("id", |id| network.id.starts_with(id))
            && filters.any("name", |name| network.name.contains(name))
            && filters.any("scope", |scope| network.scope == scope)
            && filters.any("type", |kind| (kind == "builtin") == is_builtin(network))
            && filters.match_labels(&network.labels)
            && dangling.is_none_or(|dangling| dangling != in_use(network, record))
    };
    let records = server.engine.networks().list();
    let all = records.iter().map(|record| (document(record), record));
    ok(&all.filter(|(network, record)| wanted(network, record)).map(|(network, _)| network).collect::<Vec<_>>())
}

fn inspect(server: &Server, name: &str) -> Result<Answer> {
    let record = server.engine.networks().find(name)?;
    ok(&Network { containers: Some(endpoints(server, &record)), ..document(&record) })
}

/// There are none but the built-in ones, which always stay.
fn prune(call: &Call) -> Result<Answer> {
    call.query.filters()?.check_names(&["label", "label!", "until"])?;
    ok(&PruneReport::default())
}

fn is_builtin(network: &Network) -> bool {
    matches!(network.name.as_str(), "bridge" | "host" | "none")
}

fn document(record: &Record) -> Network {
    let subnet = record.subnet.map(|subnet| IpamConfig {
        subnet: subnet.to_string(),
        gateway: record.gateway.map_or_else(String::new, |gateway| gateway.to_string()),
        ..IpamConfig::default()
    });
    Network {
        name: record.name.clone(),
        id: record.id.to_string(),
        created: record.created.clone(),
        scope: "local".into(),
        driver: record.driver.name().into(),
        enable_ipv4: record.driver == Driver::Bridge,
        ipam: Ipam { driver: "default".into(), options: Map::null(), config: List::from_iter(subnet) },
        internal: record.internal,
        options: Map::from(record.options.clone()),
        labels: Map::from(record.labels.clone()),
        ..Network::default()
    }
}

/// The containers on a network. What has no address on it cannot be seen this way and is left out.
fn endpoints(server: &Server, record: &Record) -> BTreeMap<String, EndpointResource> {
    let prefix = record.subnet.map(|subnet| subnet.to_string()).unwrap_or_default();
    let prefix = prefix.split_once('/').map_or("32", |(_, length)| length);
    let endpoint = |(id, address): (wharf_types::Id, std::net::IpAddr)| {
        let container = server.engine.containers().find(&id.to_string()).ok()?;
        let name = container.record.name.clone();
        let ipv4_address = format!("{address}/{prefix}");
        Some((id.to_string(), EndpointResource { name, ipv4_address, ..EndpointResource::default() }))
    };
    server.engine.networks().held_on(record.id).into_iter().filter_map(endpoint).collect()
}
