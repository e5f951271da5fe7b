//! The networks of a container: what its record says about them, and connecting and disconnecting it.
//!
//! The record names every network that the container is on; the plan in its state holds what it was given on each. Both
//! are written before the monitor is asked to change anything, so that the next engine can finish what this one began.

use wharf_api::network::{ConnectRequest, DisconnectRequest, EndpointSettings, NetworkingConfig};
use wharf_monitor::handle::Handle;
use wharf_monitor::protocol::NamesPlan;
use wharf_network::plan::{EndpointPlan, SandboxPlan};
use wharf_types::{Error, Id, Kind, Result};

use super::record::{NetworkMode, Record};
use super::{Containers, Request, resolv};
use crate::network::{Driver, Network, Networks, Wanted, Wishes};
use crate::services::Services;

impl Containers {
    /// Connects a container to a network, whether it runs or not.
    ///
    /// # Errors
    /// `NotFound` for either, `Forbidden` when it is connected already, `InvalidParameter` for what makes no sense; nothing is
    /// changed then.
    pub async fn connect(&self, network: &str, request: ConnectRequest) -> Result<()> {
        let network = self.services.networks.find(network)?;
        let entry = self.directory.find(&request.container)?;
        let settings = request.endpoint_config.unwrap_or_default();
        check_alone(&network, &settings)?;
        let wanted = Wanted::new(network, &settings)?;
        crate::detached(async move { entry.ask(|reply| Request::Connect(Box::new((wanted, settings)), reply)).await })
            .await
    }

    /// Disconnects a container from a network, whether it runs or not. With `force`, a container that is no more is no
    /// error as long as the network is there.
    ///
    /// # Errors
    /// `NotFound` for either; `System`, as with Docker, when it is not connected.
    pub async fn disconnect(&self, network: &str, request: DisconnectRequest) -> Result<()> {
        let network = self.services.networks.find(network)?;
        let entry = match self.directory.find(&request.container) {
            Err(error) if error.kind() == Kind::NotFound && request.force => return Ok(()),
            found => found?,
        };
        crate::detached(async move { entry.ask(|reply| Request::Disconnect(Box::new(network), reply)).await }).await
    }
}

/// The networks that a container is to be on when it starts, that of its mode first.
///
/// # Errors
/// `NotFound` for a network that is gone, and what [`Wanted::new`] refuses.
pub fn wanted(networks: &Networks, record: &Record) -> Result<Vec<Wanted>> {
    let nothing = EndpointSettings::default();
    let named = record.networks().map(|(name, settings)| {
        let mut settings = settings.unwrap_or(&nothing).clone();
        if settings.mac_address.is_empty() && record.is_mode(name) {
            settings.mac_address.clone_from(&record.config.mac_address);
        }
        let wanted = Wanted::new(networks.find(name)?, &settings)?;
        Ok(Wanted { names: names_on(record, &wanted.network), ..wanted })
    });
    named.collect()
}

/// The names of a container on a network; none where names are not looked up.
pub fn names_on(record: &Record, network: &Network) -> Vec<String> {
    let nothing = EndpointSettings::default();
    let settings = record.networks().find(|(name, _)| *name == network.name).and_then(|(_, settings)| settings);
    if network.is_predefined() { Vec::new() } else { dns_names(record, settings.unwrap_or(&nothing)) }
}

/// What the name server inside a container knows; `None` where all of its networks are without names.
pub fn names_plan(services: &Services, record: &Record, sandbox: &SandboxPlan) -> Option<NamesPlan> {
    let find = |endpoint: &EndpointPlan| services.networks.find(&endpoint.network).ok();
    let networks: Vec<Network> = sandbox.endpoints().iter().filter_map(find).collect();
    let with_names: Vec<&Network> = networks.iter().filter(|network| !network.is_predefined()).collect();
    if with_names.is_empty() {
        return None;
    }
    let is_shut_in = networks.iter().all(|network| network.internal);
    let servers = if is_shut_in { Vec::new() } else { resolv::upstreams(record, &services.config.dns) };
    Some(NamesPlan {
        networks: with_names.iter().map(|network| services.networks.names_file(network.id)).collect(),
        aliases: links(services, record),
        servers,
    })
}

/// Names that `--link` gives to other containers for this one alone, each with the other's own name.
fn links(services: &Services, record: &Record) -> Vec<(String, String)> {
    let of_networks = record.networks().filter_map(|(_, settings)| settings).flat_map(|settings| settings.links.iter());
    let named = |link: &String| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let target =
            services.directory.find(target).map_or_else(|_| target.to_owned(), |e| e.now().record.name.clone());
        // Docker's own form is /TARGET:/CONTAINER/ALIAS.
        let alias = alias.rsplit('/').next().unwrap_or(alias);
        (alias.to_owned(), target)
    };
    record.host_config.links.iter().chain(of_networks).map(named).collect()
}

/// Checks what a create says about networks and writes it down by the networks' names.
///
/// # Errors
/// `NotFound` for networks that are not there; `InvalidParameter` for modes that cannot be combined, and what
/// [`Wanted::new`] refuses.
pub fn resolve(networks: &Networks, record: &mut Record) -> Result<()> {
    let asked = std::mem::take(&mut record.networking.endpoints_config).into_inner();
    let NetworkMode::Named(mode) = record.network_mode() else {
        if asked.values().flatten().any(|settings| *settings != EndpointSettings::default()) {
            return Err(Error::invalid(
                "conflicting options: the container type network mode takes no settings of networks",
            ));
        }
        return Ok(());
    };
    let mode = networks.find(&mode)?;
    let mut config = NetworkingConfig { endpoints_config: wharf_api::Map::empty() };
    for (name, settings) in asked {
        // The mode's own settings may come under the name that means the default.
        let network = networks.find(if name == "default" { "bridge" } else { &name })?;
        let settings = settings.unwrap_or_default();
        check_alone(&network, &settings)?;
        Wanted::new(network.clone(), &settings)?;
        if network.id != mode.id && !(network.driver.has_endpoints() && mode.driver.has_endpoints()) {
            return Err(exclusive(if network.driver.has_endpoints() { &mode } else { &network }));
        }
        let settings = EndpointSettings { network_id: network.id.to_string(), ..stripped(settings) };
        if config.endpoints_config.insert(network.name.clone(), Some(settings)).is_some() {
            return Err(Error::invalid(format!("network {:?} is specified multiple times", network.name)));
        }
    }
    // The mode is what counts where nothing else is said.
    if config.endpoints_config.is_empty() {
        Wanted::new(mode.clone(), &EndpointSettings::default())?;
        let own = EndpointSettings { network_id: mode.id.to_string(), ..EndpointSettings::default() };
        config.endpoints_config.insert(mode.name, Some(own));
    }
    record.networking = config;
    Ok(())
}

/// The settings as they were asked for: what an earlier run was given is not asked for again.
fn stripped(settings: EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        ipam_config: settings.ipam_config,
        links: settings.links,
        mac_address: settings.mac_address,
        aliases: settings.aliases,
        driver_opts: settings.driver_opts,
        gw_priority: settings.gw_priority,
        ..EndpointSettings::default()
    }
}

/// Aliases are for networks that have names.
fn check_alone(network: &Network, settings: &EndpointSettings) -> Result<()> {
    if network.is_predefined() && !settings.aliases.is_empty() {
        return Err(Error::invalid("network-scoped alias is supported only for containers in user defined networks")
            .with_hint("connect the container to a network made with 'wharf network create'"));
    }
    Ok(())
}

fn exclusive(network: &Network) -> Error {
    match network.driver {
        Driver::Host => Error::invalid("container cannot be connected to host network together with other networks"),
        _ => Error::invalid(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
    }
}

/// The record of a container that is on one more network.
///
/// # Errors
/// As Docker's: `Forbidden` when it is on it already; `InvalidParameter` for containers that have no network of their own.
pub fn connected(record: &Record, wanted: &Wanted, settings: EndpointSettings) -> Result<Record> {
    let network = &wanted.network;
    let is_host = |name: &str| name == "host";
    if matches!(record.network_mode(), NetworkMode::Container(_)) || record.networks().any(|(name, _)| is_host(name)) {
        return Err(Error::invalid(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        ));
    }
    if network.driver == Driver::Host {
        return Err(Error::invalid("container cannot be disconnected from host network or connected to host network"));
    }
    if record.networks().any(|(name, _)| name == network.name) {
        return Err(Error::forbidden(format!(
            "endpoint with name {} already exists in network {}",
            record.name, network.name
        )));
    }
    let is_somewhere = record.networks().next().is_some();
    if record.networks().any(|(name, _)| name == "none") || network.driver == Driver::Null && is_somewhere {
        return Err(exclusive(network));
    }
    let mut record = record.clone();
    let settings = EndpointSettings { network_id: network.id.to_string(), ..stripped(settings) };
    record.networking.endpoints_config.insert(network.name.clone(), Some(settings));
    Ok(record)
}

/// The record of a container that is on one network less.
///
/// # Errors
/// `InvalidParameter` for the host's network; `System`, as with Docker, when it is not on it.
pub fn disconnected(record: &Record, network: &Network) -> Result<Record> {
    if network.driver == Driver::Host {
        return Err(Error::invalid("container cannot be disconnected from host network or connected to host network"));
    }
    if !record.networks().any(|(name, _)| name == network.name) {
        return Err(Error::system(format!("container {} is not connected to the network {}", record.id, network.name)));
    }
    let mut record = record.clone();
    let mut left: Vec<_> = record.networks().map(|(name, own)| (name.to_owned(), own.cloned())).collect();
    left.retain(|(name, _)| *name != network.name);
    record.networking.endpoints_config = left.into_iter().collect();
    Ok(record)
}

/// Where an endpoint stands among those that a container has: they give the default route in this order.
pub fn position(networks: &Networks, record: &Record, endpoints: &[EndpointPlan], wanted: &Wanted) -> usize {
    let own = crate::network::precedence(&wanted.wishes, &wanted.network.name);
    let before = |endpoint: &&EndpointPlan| {
        let Ok(network) = networks.find(&endpoint.network) else { return false };
        let settings = record.networks().find(|(name, _)| *name == network.name).and_then(|(_, settings)| settings);
        let priority = settings.map_or(0, |settings| settings.gw_priority);
        crate::network::precedence(&Wishes { priority, ..Wishes::default() }, &network.name) < own
    };
    endpoints.iter().filter(before).count()
}

/// The plan with one more interface.
pub fn with_endpoint(plan: &SandboxPlan, endpoint: EndpointPlan, position: usize) -> Result<SandboxPlan> {
    let mut plan = plan.clone();
    let SandboxPlan::Own { endpoints, .. } = &mut plan else {
        return Err(Error::conflict("the container has no network namespace of its own"));
    };
    endpoints.insert(position.min(endpoints.len()), endpoint);
    Ok(plan)
}

/// The plan without the interface on a network, and that interface.
pub fn without_endpoint(plan: &SandboxPlan, network: Id) -> (SandboxPlan, Option<EndpointPlan>) {
    let mut plan = plan.clone();
    let SandboxPlan::Own { endpoints, .. } = &mut plan else { return (plan, None) };
    let id = network.to_string();
    let at = endpoints.iter().position(|endpoint| endpoint.network == id);
    let gone = at.map(|at| endpoints.remove(at));
    (plan, gone)
}

/// The names by which a container answers on a network that people made: its own, its aliases, and its id.
pub fn dns_names(record: &Record, settings: &EndpointSettings) -> Vec<String> {
    let mut names = vec![record.name.clone()];
    let short = record.id.short();
    let hostname = Some(&record.config.hostname).filter(|name| !name.is_empty());
    for name in settings.aliases.iter().chain([&short]).chain(hostname) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Brings a container's interfaces to what the database says: an engine that died may have written a change down and not
/// had it made.
pub async fn finish_changes(handle: &Handle, actual: &SandboxPlan, wanted: &SandboxPlan) {
    let lacks = |plan: &SandboxPlan, id: &str| !plan.endpoints().iter().any(|endpoint| endpoint.id == id);
    let mut problems = Vec::new();
    for gone in actual.endpoints().iter().filter(|endpoint| lacks(wanted, &endpoint.id)) {
        problems.extend(handle.disconnect_network(&gone.id).await.err());
    }
    for (position, new) in wanted.endpoints().iter().enumerate().filter(|(_, endpoint)| lacks(actual, &endpoint.id)) {
        problems.extend(handle.connect_network(new.clone(), position).await.err());
    }
    for problem in problems {
        tracing::error!(problem = %problem.chain(), "a container's networks are not as they should be");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(network: Id) -> EndpointPlan {
        EndpointPlan { network: network.to_string(), ..EndpointPlan::default() }
    }

    #[test]
    fn endpoints_come_and_go_in_place() {
        let (a, b) = (crate::names::fresh_id(), crate::names::fresh_id());
        let plan = SandboxPlan::Own { endpoints: vec![endpoint(a)], ports: vec![], table: "t".into(), sysctls: vec![] };
        let both = with_endpoint(&plan, endpoint(b), 0).unwrap();
        assert_eq!(both.endpoints()[0].network, b.to_string());
        let (left, gone) = without_endpoint(&both, b);
        assert_eq!((left, gone), (plan.clone(), Some(endpoint(b))));
        assert_eq!(without_endpoint(&plan, b), (plan, None));
        assert!(with_endpoint(&SandboxPlan::Host, endpoint(a), 0).is_err());
    }
}
