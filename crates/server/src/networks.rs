//! `/networks/...`

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use wharf_api::filters::Filters;
use wharf_api::network::{
    ConfigReference, ConnectRequest, CreateRequest, DisconnectRequest, EndpointResource, Ipam, IpamConfig, Network,
};
use wharf_api::{List, Map};
use wharf_engine::network::{Driver, Network as Record, Pool, Settings};
use wharf_types::{Error, Result};

use crate::Server;
use crate::request::Call;
use crate::response::{Answer, created, empty, no_content, ok};
use crate::route::page_not_found;

/// Filters of the list (Docker's names).
const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

pub(crate) async fn route(server: &Server, method: &Method, parts: &[&str], call: Call) -> Result<Answer> {
    let networks = server.engine.networks();
    match (method, parts) {
        (&Method::GET, []) => list(server, &call),
        (&Method::GET, [name]) => inspect(server, name, &call),
        (&Method::POST, ["create"]) => {
            let request: CreateRequest = call.json().await?;
            created(&networks.create(request).await?)
        }
        (&Method::POST, ["prune"]) => ok(&networks.prune(&call.query.filters()?).await?),
        (&Method::DELETE, [name]) => networks.remove(name).await.map(|()| no_content()),
        (&Method::POST, [name, "connect"]) => {
            let request: ConnectRequest = call.json().await?;
            server.engine.containers().connect(name, request).await.map(|()| empty(StatusCode::OK))
        }
        (&Method::POST, [name, "disconnect"]) => {
            let request: DisconnectRequest = call.json().await?;
            server.engine.containers().disconnect(name, request).await.map(|()| empty(StatusCode::OK))
        }
        _ => Err(page_not_found()),
    }
}

fn list(server: &Server, call: &Call) -> Result<Answer> {
    let filters = call.query.filters()?;
    filters.check_names(&FILTERS)?;
    check_types(&filters)?;
    let dangling = filters.flag("dangling")?;
    let records = server.engine.networks().list();
    let wanted = |record: &Record| {
        let in_use = || record.is_predefined() || server.engine.networks().is_in_use(record.id);
        matches(record, &filters) && dangling.is_none_or(|dangling| dangling != in_use())
    };
    ok(&records.iter().filter(|record| wanted(record)).map(document).collect::<Vec<_>>())
}

fn check_types(filters: &Filters) -> Result<()> {
    match filters.values("type").find(|kind| !matches!(*kind, "builtin" | "custom")) {
        Some(kind) => Err(Error::invalid(format!("invalid filter: 'type'='{kind}'"))),
        None => Ok(()),
    }
}

fn matches(record: &Record, filters: &Filters) -> bool {
    filters.any("driver", |driver| record.driver.name() == driver)
        && filters.any("id", |id| record.id.to_string().starts_with(id))
        && filters.any("name", |name| record.name.contains(name))
        && filters.any("scope", |scope| scope == "local")
        && filters.any("type", |kind| (kind == "builtin") == record.is_predefined())
        && filters.match_labels(&record.labels)
}

fn inspect(server: &Server, name: &str, call: &Call) -> Result<Answer> {
    let scope = call.query.text("scope");
    if !matches!(scope, "" | "local") {
        return Err(Error::not_found(format!("network {name} not found")).with_hint(format!("no network is {scope}")));
    }
    let record = server.engine.networks().find(name)?;
    ok(&Network { containers: Some(endpoints(server, &record)), ..document(&record) })
}

/// A network as the API shows it, without its containers.
fn document(record: &Record) -> Network {
    Network {
        name: record.name.clone(),
        id: record.id.to_string(),
        created: record.created.clone(),
        scope: "local".into(),
        driver: record.driver.name().into(),
        enable_ipv4: record.enable_ipv4,
        enable_ipv6: record.enable_ipv6,
        ipam: ipam(record),
        internal: record.internal,
        attachable: record.attachable,
        config_from: ConfigReference { network: record.config_from.clone() },
        config_only: record.config_only,
        options: Map::from(options(record)),
        labels: Map::from(record.labels.clone()),
        ..Network::default()
    }
}

/// What the person asked for; the engine's own choice for a family about which nothing was said.
fn ipam(record: &Record) -> Ipam {
    let chosen = record.pools.iter().filter(|pool| !record.has_configured_subnet(pool.subnet.is_ipv4()));
    let mut config: Vec<IpamConfig> = chosen.map(pool).collect();
    config.extend(record.ipam.config.iter().cloned());
    config.sort_by_key(|config| config.subnet.contains(':'));
    Ipam { config: List::from(config), ..record.ipam.clone() }
}

fn pool(pool: &Pool) -> IpamConfig {
    IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.range.map_or_else(String::new, |range| range.to_string()),
        gateway: pool.gateway.map_or_else(String::new, |gateway| gateway.to_string()),
        ..IpamConfig::default()
    }
}

/// Those of the default network are shown in full, as Docker does.
fn options(record: &Record) -> BTreeMap<String, String> {
    let mut options = record.options.clone();
    if let (true, Driver::Bridge, Ok(settings)) = (record.is_predefined(), record.driver, Settings::of(record)) {
        let mut own = |name: &str, value: String| {
            options.entry(format!("com.docker.network.{name}")).or_insert(value);
        };
        own("bridge.default_bridge", "true".into());
        own("bridge.enable_icc", settings.icc.to_string());
        own("bridge.enable_ip_masquerade", settings.masquerade.to_string());
        own("bridge.host_binding_ipv4", "0.0.0.0".into());
        own("bridge.name", record.bridge.clone().unwrap_or_default());
        own("driver.mtu", record.mtu.to_string());
    }
    options
}

/// The containers on a network that run.
fn endpoints(server: &Server, record: &Record) -> BTreeMap<String, EndpointResource> {
    let with_prefix = |address: Option<(String, u8)>| {
        address.map_or_else(String::new, |(address, prefix)| format!("{address}/{prefix}"))
    };
    let on = server.engine.networks().endpoints_on(record.id).into_iter();
    let endpoint = |(id, plan): (wharf_types::Id, wharf_engine::network::EndpointPlan)| {
        let container = server.engine.containers().find(&id.to_string()).ok()?;
        let resource = EndpointResource {
            name: container.record.name.clone(),
            endpoint_id: plan.id,
            mac_address: plan.mac.map(|byte| format!("{byte:02x}")).join(":"),
            ipv4_address: with_prefix(plan.ipv4.map(|(address, prefix)| (address.to_string(), prefix))),
            ipv6_address: with_prefix(plan.ipv6.map(|(address, prefix)| (address.to_string(), prefix))),
        };
        Some((id.to_string(), resource))
    };
    on.filter_map(endpoint).collect()
}
