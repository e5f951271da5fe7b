//! Networks: which there are, which addresses and ports are taken, and the bridge and firewall behind them.
//!
//! What is taken is kept in memory and derived, at the start of an engine, from the containers' own states: there is no
//! second book that could contradict the first. Bridges and the firewall's table are made when the first container
//! needs them.

mod ports;
mod record;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_network::ipam::{Allocator, choose_subnet, default_pools};
use wharf_network::plan::{EndpointPlan, PortPlan, SandboxPlan};
use wharf_network::{Bridge, BridgeConfig, Firewall, NetworkRules, Subnet, endpoint_mac, uplink_mtu, used_subnets};
use wharf_types::{Error, Id, Kind, Result};

use crate::config::Config;
use crate::names;
use crate::store::{Durability, Store};
use ports::PortTable;

pub use ports::PortRequest;
pub use record::{Driver, Network};

/// All networks of an engine; clones share them.
#[derive(Clone)]
pub struct Networks {
    inner: Arc<Inner>,
}

struct Inner {
    engine_id: String,
    config: Config,
    store: Store,
    tables: Mutex<Tables>,
    /// Held while bridges and the firewall change; also remembers which networks are ready in the kernel.
    ready: tokio::sync::Mutex<Ready>,
}

#[derive(Default)]
struct Tables {
    networks: HashMap<Id, Network>,
    addresses: HashMap<Id, Allocator>,
    held: HashMap<Id, Vec<(Id, IpAddr)>>,
    ports: PortTable,
}

#[derive(Default)]
struct Ready {
    firewall: Option<Firewall>,
    networks: Vec<Id>,
}

impl Networks {
    /// Reads the networks and makes the three that every engine has.
    pub(crate) async fn open(config: &Config, engine_id: &str, store: &Store) -> Result<Self> {
        let mut networks = record::load(store).await?;
        for (name, driver) in [("bridge", Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)] {
            if !networks.iter().any(|network| network.name == name) {
                let network = Network::predefined(names::fresh_id(), name, driver);
                record::save(store, &network, Durability::Crash).await?;
                networks.push(network);
            }
        }
        let mut tables = Tables::default();
        for network in networks {
            if let Some(allocator) = network.allocator()? {
                tables.addresses.insert(network.id, allocator);
            }
            tables.networks.insert(network.id, network);
        }
        let inner = Inner {
            engine_id: engine_id.to_owned(),
            config: config.clone(),
            store: store.clone(),
            tables: Mutex::new(tables),
            ready: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All networks, by name.
    pub fn list(&self) -> Vec<Network> {
        let mut all: Vec<Network> = self.tables().networks.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The network with this name, id or unique beginning of an id.
    pub fn find(&self, name: &str) -> Result<Network> {
        let tables = self.tables();
        if let Some(network) = tables.networks.values().find(|network| network.name == name) {
            return Ok(network.clone());
        }
        let mut matching = tables.networks.values().filter(|network| network.id.to_string().starts_with(name));
        match (matching.next(), matching.next()) {
            (Some(network), None) if !name.is_empty() => Ok(network.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!("network {name} is ambiguous (several ids begin so)"))),
            _ => Err(Error::not_found(format!("network {name} not found")).with_hint("'wharf network ls' lists them")),
        }
    }

    /// The addresses that containers hold on a network.
    pub fn held_on(&self, network: Id) -> Vec<(Id, IpAddr)> {
        let tables = self.tables();
        let holds = |(container, held): (&Id, &Vec<(Id, IpAddr)>)| {
            held.iter().find(|(id, _)| *id == network).map(|(_, address)| (*container, *address))
        };
        tables.held.iter().filter_map(holds).collect()
    }

    /// Decides on addresses and ports for a container that is about to start on `network`, and makes the bridge and
    /// the firewall ready for it. What it holds is given back with [`Networks::release`].
    ///
    /// # Errors
    /// `Exhausted` without a free address, `Conflict` for a port that is taken; nothing is held then.
    pub async fn plan(
        &self,
        container: Id,
        network: &Network,
        ports: &[PortRequest],
        sysctls: Vec<(String, String)>,
    ) -> Result<SandboxPlan> {
        let (endpoints, table) = match network.driver {
            Driver::Host => return Ok(SandboxPlan::Host),
            Driver::Null => (Vec::new(), String::new()),
            Driver::Bridge => {
                let (network, table) = self.make_ready(network.id).await?;
                (vec![self.endpoint(container, &network)?], table)
            }
        };
        let ports = self.hold_ports(container, &endpoints, ports).inspect_err(|_| self.release(container))?;
        Ok(SandboxPlan::Own { endpoints, ports, table, sysctls })
    }

    /// Takes note of what a container of an earlier engine holds.
    pub(crate) fn adopt(&self, container: Id, plan: &SandboxPlan) {
        let SandboxPlan::Own { endpoints, ports, .. } = plan else { return };
        let mut tables = self.tables();
        for endpoint in endpoints {
            let Some((address, _)) = endpoint.ipv4 else { continue };
            let address = IpAddr::V4(address);
            let owner = tables.addresses.iter().find(|(_, a)| a.subnet().contains(address)).map(|(id, _)| *id);
            let Some(network) = owner else { continue };
            if let Some(allocator) = tables.addresses.get_mut(&network) {
                // It is in use, whatever the allocator thinks of it.
                drop(allocator.claim(address));
            }
            tables.held.entry(container).or_default().push((network, address));
        }
        tables.ports.adopt(container, ports);
    }

    /// Gives back everything that a container holds; nothing is fine.
    pub fn release(&self, container: Id) {
        let mut tables = self.tables();
        for (network, address) in tables.held.remove(&container).unwrap_or_default() {
            if let Some(allocator) = tables.addresses.get_mut(&network) {
                allocator.release(address);
            }
        }
        tables.ports.release(container);
    }

    /// Puts the kernel in order for the containers that live, after a restart of the engine: bridges, rules, and exactly
    /// these published ports.
    pub(crate) async fn repair(&self, ports: Vec<PortPlan>) -> Result<()> {
        let used: Vec<Id> = self.tables().held.values().flatten().map(|(network, _)| *network).collect();
        for network in used {
            self.make_ready(network).await?;
        }
        let firewall = self.inner.ready.lock().await.firewall.clone();
        match firewall {
            Some(firewall) => crate::blocking(move || firewall.reconcile(&ports)).await,
            None => Ok(()),
        }
    }

    /// Removes bridges and rules; only when no container lives.
    pub(crate) async fn take_down(&self) -> Vec<Error> {
        if !self.tables().held.is_empty() {
            return Vec::new();
        }
        let mut ready = self.inner.ready.lock().await;
        ready.networks.clear();
        ready.firewall = None;
        let table = Firewall::open(Firewall::table_name(&self.inner.engine_id));
        let bridges: Vec<String> = self.list().iter().filter_map(|network| network.bridge.clone()).collect();
        let work = move || {
            let removed = bridges.iter().map(|bridge| Bridge::remove(bridge)).chain([table.remove()]);
            removed.filter_map(Result::err).collect()
        };
        crate::blocking(move || Ok(work())).await.unwrap_or_else(|error| vec![error])
    }

    fn endpoint(&self, container: Id, network: &Network) -> Result<EndpointPlan> {
        let mut tables = self.tables();
        let (Some(allocator), Some(bridge)) = (tables.addresses.get_mut(&network.id), &network.bridge) else {
            return Err(Error::system(format!("network {} has no subnet", network.name)));
        };
        let prefix = allocator.subnet().prefix();
        let address = allocator.allocate()?;
        let IpAddr::V4(v4) = address else {
            allocator.release(address);
            return Err(Error::not_implemented("IPv6 subnets are not there yet"));
        };
        tables.held.entry(container).or_default().push((network.id, address));
        Ok(EndpointPlan {
            bridge: bridge.clone(),
            host_name: format!("vh{}{}", self.kernel_prefix(), Id::from_random(names::random()).prefix(8)),
            container_name: "eth0".into(),
            mac: endpoint_mac(v4),
            ipv4: Some((v4, prefix)),
            gateway4: network.gateway,
            ipv6: None,
            gateway6: None,
            mtu: network.mtu,
        })
    }

    fn hold_ports(&self, container: Id, endpoints: &[EndpointPlan], wanted: &[PortRequest]) -> Result<Vec<PortPlan>> {
        let Some((address, _)) = endpoints.first().and_then(|endpoint| endpoint.ipv4) else { return Ok(Vec::new()) };
        self.tables().ports.hold(container, address.into(), wanted)
    }

    /// The network as it is in the kernel, after making it so, and the name of the firewall's table.
    async fn make_ready(&self, id: Id) -> Result<(Network, String)> {
        let mut ready = self.inner.ready.lock().await;
        let known = self.network(id)?;
        if let (Some(firewall), true) = (&ready.firewall, ready.networks.contains(&id)) {
            return Ok((known, firewall.table().to_owned()));
        }
        let network = self.bring_up(known).await?;
        let engine_id = self.inner.engine_id.clone();
        let mut all: Vec<NetworkRules> = Vec::new();
        for other in ready.networks.iter().filter_map(|id| self.network(*id).ok()).chain([network.clone()]) {
            all.extend(other.rules());
        }
        let firewall = crate::blocking(move || Firewall::ensure(&engine_id, &all)).await?;
        let table = firewall.table().to_owned();
        ready.firewall = Some(firewall);
        ready.networks.push(id);
        Ok((network, table))
    }

    /// Makes the bridge. A subnet that the engine chose for itself, that no container uses, and that somebody else on the
    /// host has taken meanwhile is chosen anew.
    async fn bring_up(&self, known: Network) -> Result<Network> {
        let network = self.complete(known).await?;
        let Some(config) = network.bridge_config() else { return Ok(network) };
        let ensured = crate::blocking(move || Bridge::ensure(&config).map(drop)).await;
        let is_free = self.inner.config.bridge_address.is_none() && self.held_on(network.id).is_empty();
        match ensured {
            Err(error) if error.kind() == Kind::Conflict && is_free => {
                tracing::info!(network = network.name, reason = %error.chain(), "another subnet is chosen");
                let network = self.complete(Network { subnet: None, ..network }).await?;
                if let Some(config) = network.bridge_config() {
                    crate::blocking(move || Bridge::ensure(&config).map(drop)).await?;
                }
                Ok(network)
            }
            other => other.map(|()| network),
        }
    }

    /// Gives a network its bridge's name, subnet and MTU where it has none yet, and writes them down.
    async fn complete(&self, mut network: Network) -> Result<Network> {
        if network.subnet.is_some() {
            return Ok(network);
        }
        let given = self.inner.config.bridge_address;
        let taken: Vec<Subnet> = self.tables().networks.values().filter_map(|other| other.subnet).collect();
        let (subnet, gateway, mtu) = crate::blocking(move || choose(given, taken)).await?;
        network.bridge = Some(self.bridge_name(&network));
        (network.subnet, network.gateway, network.mtu) = (Some(subnet), Some(gateway), mtu);
        record::save(&self.inner.store, &network, Durability::Power).await?;
        let mut tables = self.tables();
        if let Some(allocator) = network.allocator()? {
            tables.addresses.insert(network.id, allocator);
        }
        tables.networks.insert(network.id, network.clone());
        Ok(network)
    }

    fn bridge_name(&self, network: &Network) -> String {
        match &self.inner.config.bridge {
            Some(name) => name.clone(),
            None if self.inner.config.is_default() && network.name == "bridge" => "wharf0".into(),
            None => format!("wh{}{}", self.kernel_prefix(), network.id.prefix(8)),
        }
    }

    /// The part of the engine's id that names in the kernel carry.
    fn kernel_prefix(&self) -> &str {
        &self.inner.engine_id[..4]
    }

    fn network(&self, id: Id) -> Result<Network> {
        let found = self.tables().networks.get(&id).cloned();
        found.ok_or_else(|| Error::not_found(format!("network {id} not found")))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Subnet, gateway and MTU of a network: as given, or the first free one of Docker's pools.
fn choose(given: Option<(Ipv4Addr, u8)>, mut taken: Vec<Subnet>) -> Result<(Subnet, Ipv4Addr, u32)> {
    let mtu = uplink_mtu()?;
    if let Some((gateway, prefix)) = given {
        return Ok((Subnet::new(gateway.into(), prefix)?, gateway, mtu));
    }
    taken.extend(used_subnets()?);
    let subnet = choose_subnet(&default_pools(), &taken)?;
    match Allocator::default_gateway(subnet, None)? {
        IpAddr::V4(gateway) => Ok((subnet, gateway, mtu)),
        IpAddr::V6(_) => Err(Error::not_implemented("IPv6 subnets are not there yet")),
    }
}

impl Network {
    fn bridge_config(&self) -> Option<BridgeConfig> {
        let (name, gateway, subnet) = (self.bridge.clone()?, self.gateway?, self.subnet?);
        Some(BridgeConfig { name, ipv4: Some((gateway, subnet.prefix())), ipv6: None, mtu: self.mtu })
    }

    fn rules(&self) -> Option<NetworkRules> {
        let (bridge, subnet) = (self.bridge.clone()?, self.subnet?);
        Some(NetworkRules { bridge, subnets: vec![subnet], outbound: !self.internal, masquerade: true, icc: true })
    }

    fn allocator(&self) -> Result<Option<Allocator>> {
        let (Some(subnet), Some(gateway)) = (self.subnet, self.gateway) else { return Ok(None) };
        Allocator::new(subnet, None, &[gateway.into()]).map(Some)
    }
}
