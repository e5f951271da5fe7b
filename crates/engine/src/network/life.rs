//! Making and removing networks.

use wharf_api::filters::Filters;
use wharf_api::network::{CreateRequest, CreateResponse, PruneReport};
use wharf_network::plan::Link;
use wharf_network::{check_bridge_name, check_link, uplink_mtu, used_subnets};
use wharf_types::{Error, Id, Kind, Result};

use super::options::Settings;
use super::record::{self, Driver, Network};
use super::{Networks, define, kernel};
use crate::names;
use crate::store::Durability;

/// How often another subnet is chosen for a network that names none.
const ATTEMPTS: usize = 5;

impl Networks {
    /// Makes a network: in the database first, then in the kernel. Goes on even if the caller goes away.
    ///
    /// # Errors
    /// `Conflict` for a name that is taken, `Forbidden` for a subnet that is, and what [`define::define`] refuses; nothing is
    /// left then.
    pub async fn create(&self, request: CreateRequest) -> Result<CreateResponse> {
        let networks = self.clone();
        crate::detached(async move {
            let _changing = networks.inner.changing.lock().await;
            let mut attempts = ATTEMPTS;
            loop {
                attempts -= 1;
                let network = networks.define(request.clone()).await?;
                match networks.make(&network).await {
                    Ok(()) => return Ok(CreateResponse { id: network.id.to_string(), warning: String::new() }),
                    // Somebody else on the host was faster with a subnet that the engine chose: another one then.
                    Err(error) if error.kind() == Kind::Conflict && attempts > 0 && has_choice(&network) => {}
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// From here on something exists: the row, then what is in the kernel.
    async fn make(&self, network: &Network) -> Result<()> {
        record::save(&self.inner.store, network, Durability::Power).await?;
        self.tables().insert(network.clone())?;
        if network.driver.has_endpoints()
            && let Err(error) = self.make_ready(network.id).await
        {
            self.tables().remove(network);
            self.clear(network).await;
            record::delete(&self.inner.store, network.id).await?;
            return Err(error);
        }
        self.tell("create", network, []);
        Ok(())
    }

    /// Everything that can be decided without making anything.
    async fn define(&self, request: CreateRequest) -> Result<Network> {
        let by_name = |name: &str| self.find(name).ok().filter(|found| found.name == name);
        let mut network = define::define(names::fresh_id(), request, by_name)?;
        if by_name(&network.name).is_some() {
            return Err(Error::conflict(format!("network with name {} already exists", network.name))
                .with_hint("'wharf network rm' removes it, if nothing uses it"));
        }
        if !network.driver.has_endpoints() {
            return Ok(network);
        }
        let settings = Settings::of(&network)?;
        network.bridge = Some(self.link_name(&network, &settings)?);
        let (pools, own, taken) = (self.address_pools(), self.own_prefix()?, self.tables().subnets());
        crate::blocking(move || {
            if settings.link != Link::Veth {
                check_link(settings.link)?;
            }
            define::choose(&mut network, &pools, own, &taken, &used_subnets()?)?;
            network.mtu = settings.mtu.map_or_else(uplink_mtu, Ok)?;
            Ok(network)
        })
        .await
    }

    /// The name of the bridge or the parent on the host.
    fn link_name(&self, network: &Network, settings: &Settings) -> Result<String> {
        match network.driver {
            Driver::Bridge => match &settings.bridge {
                Some(name) => self.check_bridge(name).map(|()| name.clone()),
                None => Ok(self.bridge_name(network)),
            },
            _ => Ok(settings.parent.clone().unwrap_or_else(|| self.lone_parent_name(network))),
        }
    }

    fn check_bridge(&self, name: &str) -> Result<()> {
        check_bridge_name(name)?;
        let tables = self.tables();
        match tables.networks.values().find(|other| other.bridge.as_deref() == Some(name)) {
            Some(other) => Err(Error::forbidden(format!("network {} is already using bridge {name}", other.name))),
            None => Ok(()),
        }
    }

    /// Removes a network. Goes on even if the caller goes away.
    ///
    /// # Errors
    /// `Forbidden` while containers use it and for those that every engine has, `NotFound`.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let (networks, name) = (self.clone(), name.to_owned());
        crate::detached(async move {
            let _changing = networks.inner.changing.lock().await;
            networks.remove_locked(&name).await
        })
        .await
    }

    async fn remove_locked(&self, name: &str) -> Result<()> {
        let network = self.find(name)?;
        self.take_out(&network)?;
        if let Err(error) = record::delete(&self.inner.store, network.id).await {
            self.tables().insert(network)?;
            return Err(error);
        }
        self.clear(&network).await;
        self.tell("destroy", &network, []);
        Ok(())
    }

    /// From here on no container gets a place on it.
    fn take_out(&self, network: &Network) -> Result<()> {
        if network.is_predefined() {
            return Err(Error::forbidden(format!("{} is a pre-defined network and cannot be removed", network.name)));
        }
        let refusal = |what: String| Error::forbidden(format!("error while removing network: {what}"));
        let mut tables = self.tables();
        if network.config_only && tables.networks.values().any(|other| other.config_from == network.name) {
            return Err(refusal(format!("configuration network {:?} is in use", network.name)));
        }
        if let Some(on) = tables.endpoints.get(&network.id).filter(|on| !on.is_empty()) {
            let containers: Vec<String> = on.keys().map(Id::short).collect();
            return Err(refusal(format!("network {} id {} has active endpoints", network.name, network.id))
                .with_hint(format!("disconnect or stop the containers {}", containers.join(", "))));
        }
        tables.remove(network);
        Ok(())
    }

    /// Removes the networks that no container which lives is on and that satisfy the filters.
    ///
    /// # Errors
    /// `InvalidParameter` for a filter that there is not.
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport> {
        filters.check_names(&["label", "label!", "until"])?;
        let until = filters.values("until").map(crate::container::parse_until).collect::<Result<Vec<_>>>()?;
        let mut report = PruneReport::default();
        for network in self.list() {
            let old_enough = until.iter().all(|limit| crate::time::unix(&network.created) < *limit);
            let goes = !network.is_predefined() && !network.config_only && !self.is_in_use(network.id);
            if !goes || !old_enough || !filters.match_labels(&network.labels) {
                continue;
            }
            match self.remove(&network.id.to_string()).await {
                Ok(()) => report.networks_deleted.push(network.name),
                // Someone has just begun to use it.
                Err(error) => tracing::debug!(network = network.name, reason = %error.chain(), "not pruned"),
            }
        }
        self.inner.events.publish("network", "prune", "", [("reclaimed".to_owned(), "0".to_owned())]);
        Ok(report)
    }

    /// Takes a network that is in no table any more out of the kernel.
    async fn clear(&self, network: &Network) {
        let problems = self.clear_kernel(network).await;
        for problem in problems {
            tracing::warn!(network = network.name, problem = %problem.chain(), "left behind; the next engine removes it");
        }
    }

    /// The name of the bridge that is made for a network.
    pub(super) fn bridge_name(&self, network: &Network) -> String {
        match &self.inner.config.bridge {
            Some(name) if network.name == "bridge" => name.clone(),
            None if self.inner.config.is_default() && network.name == "bridge" => "wharf0".into(),
            _ => format!("wh{}{}", self.kernel_prefix(), network.id.prefix(8)),
        }
    }

    /// The name of the interface that is made for a macvlan or ipvlan network without a parent.
    pub(super) fn lone_parent_name(&self, network: &Network) -> String {
        format!("{}{}{}", kernel::LONE_PARENT, self.kernel_prefix(), network.id.prefix(8))
    }
}

/// Whether the engine chose any of its subnets.
fn has_choice(network: &Network) -> bool {
    network.pools.iter().any(|pool| !network.has_configured_subnet(pool.subnet.is_ipv4()))
}
