//! Networks: which there are, which addresses and ports are taken, and what is behind them in the kernel.
//!
//! What is taken is kept in memory and derived, at the start of an engine, from the containers' own states: there is no
//! second book that could contradict the first. The default network's bridge is made when the first container needs it;
//! those of networks that people make are there from their creation on, and again after each start of an engine.
//!
//! [`define`] reads a request, [`life`] makes and removes networks, [`endpoints`] gives containers their places on them,
//! [`kernel`] brings about in the kernel what the rows say.

mod book;
mod define;
mod endpoints;
mod kernel;
mod life;
mod options;
mod ports;
mod record;
mod space;
mod watch;
mod wishes;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_network::Subnet;
use wharf_network::ipam::{AddressPool, default_pools};
use wharf_types::{Error, Id, Result};

use crate::config::Config;
use crate::event::Events;
use crate::names;
use crate::store::{Durability, Store};
use book::Book;
use kernel::Ready;
use ports::PortTable;
use space::Space;

pub(crate) use endpoints::precedence;
pub use options::Settings;
pub use ports::PortRequest;
pub use record::{Driver, Network, Pool};
pub use wharf_network::plan::EndpointPlan;
pub use wishes::{Wanted, Wishes};

/// All networks of an engine; clones share them.
#[derive(Clone)]
pub struct Networks {
    inner: Arc<Inner>,
}

struct Inner {
    engine_id: String,
    config: Config,
    store: Store,
    events: Events,
    tables: Mutex<Tables>,
    /// Held while a network is made or removed: one after the other.
    changing: tokio::sync::Mutex<()>,
    /// Held while bridges and the firewall change.
    ready: tokio::sync::Mutex<Ready>,
    /// How often somebody else's change of the firewall was undone.
    restored: AtomicU64,
}

struct Tables {
    networks: HashMap<Id, Network>,
    names: HashMap<String, Id>,
    spaces: HashMap<Id, Space>,
    /// The containers on each network.
    endpoints: HashMap<Id, BTreeMap<Id, EndpointPlan>>,
    /// The networks that each container is on.
    joined: HashMap<Id, Vec<Id>>,
    ports: PortTable,
    book: Book,
    /// The firewall's table, while it is known to be there, and the networks that are known to be ready in the kernel.
    table: Option<String>,
    ready: Vec<Id>,
}

impl Networks {
    /// Reads the networks and makes the three that every engine has.
    pub(crate) async fn open(config: &Config, engine_id: &str, store: &Store, events: &Events) -> Result<Self> {
        let mut networks = record::load(store).await?;
        for (name, driver) in record::PREDEFINED {
            if !networks.iter().any(|network| network.name == name) {
                let network = Network::new(names::fresh_id(), name, driver);
                record::save(store, &network, Durability::Crash).await?;
                networks.push(network);
            }
        }
        let mut tables = Tables::new(config);
        for network in networks {
            tables.insert(network)?;
        }
        let inner = Inner {
            engine_id: engine_id.to_owned(),
            config: config.clone(),
            store: store.clone(),
            events: events.clone(),
            tables: Mutex::new(tables),
            changing: tokio::sync::Mutex::default(),
            ready: tokio::sync::Mutex::default(),
            restored: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// All networks, by name.
    pub fn list(&self) -> Vec<Network> {
        let mut all: Vec<Network> = self.tables().networks.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The network with this id, name or unique beginning of an id.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidParameter` when several ids begin so.
    pub fn find(&self, name: &str) -> Result<Network> {
        let tables = self.tables();
        let by_id = || name.parse::<Id>().ok().filter(|id| tables.networks.contains_key(id));
        let named = if name == "default" { "bridge" } else { name };
        if let Some(network) = by_id().or_else(|| tables.names.get(named).copied()) {
            return tables.networks.get(&network).cloned().ok_or_else(|| not_found(name));
        }
        let mut matching = tables.networks.values().filter(|network| network.id.to_string().starts_with(name));
        match (matching.next(), matching.next()) {
            (Some(network), None) if !name.is_empty() => Ok(network.clone()),
            (Some(_), Some(_)) if !name.is_empty() => {
                Err(Error::invalid(format!("network {name} is ambiguous (several ids begin so)")))
            }
            _ => Err(not_found(name)),
        }
    }

    /// The containers on a network, with their interfaces.
    pub fn endpoints_on(&self, network: Id) -> Vec<(Id, EndpointPlan)> {
        let tables = self.tables();
        let on = tables.endpoints.get(&network).into_iter().flatten();
        on.map(|(container, endpoint)| (*container, endpoint.clone())).collect()
    }

    /// Whether any container that lives is on a network.
    pub fn is_in_use(&self, network: Id) -> bool {
        self.tables().is_in_use(network)
    }

    /// Tells everyone what happened to a network.
    fn tell(&self, action: &str, network: &Network, attributes: impl IntoIterator<Item = (String, String)>) {
        let own = [("name".to_owned(), network.name.clone()), ("type".to_owned(), network.driver.name().to_owned())];
        self.inner.events.publish("network", action, &network.id.to_string(), own.into_iter().chain(attributes));
    }

    /// The part of the engine's id that names in the kernel carry.
    fn kernel_prefix(&self) -> &str {
        &self.inner.engine_id[..4]
    }

    /// What is noted on the interfaces of the host that the engine makes, so that it knows them for its own.
    fn note(&self) -> String {
        format!("wharf-{}", self.inner.engine_id)
    }

    fn address_pools(&self) -> Vec<AddressPool> {
        let configured = self.inner.config.network.address_pools.clone();
        if configured.is_empty() { default_pools() } else { configured }
    }

    /// Unique local addresses (RFC 4193) from the engine's id, for networks that want IPv6 and name no subnet.
    fn own_prefix(&self) -> Result<AddressPool> {
        let id = &self.inner.engine_id;
        let base: Subnet = format!("fd{}:{}:{}::/48", &id[..2], &id[2..6], &id[6..10]).parse()?;
        AddressPool::new(base, 64)
    }

    fn network(&self, id: Id) -> Result<Network> {
        let found = self.tables().networks.get(&id).cloned();
        found.ok_or_else(|| not_found(&id.to_string()))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn new(config: &Config) -> Self {
        Self {
            networks: HashMap::new(),
            names: HashMap::new(),
            spaces: HashMap::new(),
            endpoints: HashMap::new(),
            joined: HashMap::new(),
            ports: PortTable::default(),
            book: Book::new(config.names_dir()),
            table: None,
            ready: Vec::new(),
        }
    }

    fn insert(&mut self, network: Network) -> Result<()> {
        self.spaces.insert(network.id, Space::of(&network)?);
        self.names.insert(network.name.clone(), network.id);
        self.networks.insert(network.id, network);
        Ok(())
    }

    fn remove(&mut self, network: &Network) {
        self.networks.remove(&network.id);
        self.names.remove(&network.name);
        self.spaces.remove(&network.id);
        self.endpoints.remove(&network.id);
        self.ready.retain(|id| *id != network.id);
    }

    fn is_in_use(&self, network: Id) -> bool {
        self.endpoints.get(&network).is_some_and(|on| !on.is_empty())
    }

    /// The subnets of all networks.
    fn subnets(&self) -> Vec<Subnet> {
        self.networks.values().flat_map(|network| network.pools.iter().map(|pool| pool.subnet)).collect()
    }
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("network {name} not found")).with_hint("'wharf network ls' lists them")
}
