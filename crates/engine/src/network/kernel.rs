//! Bringing about in the kernel what the rows say: bridges, parents, the firewall.

use std::net::IpAddr;
use std::sync::Arc;

use wharf_network::plan::PortPlan;
use wharf_network::{
    Bridge, BridgeConfig, Firewall, Guard, NetworkRules, Subnet, ensure_lone_parent, ensure_parent, forward_drops,
    link_exists, noted_links, remove_link, remove_noted, uplink_mtu, used_subnets,
};
use wharf_types::{Error, Id, Kind, Result};

use super::options::Settings;
use super::record::{self, Driver, Network, Pool};
use super::{Networks, Tables, define};
use crate::store::Durability;

/// What the names of interfaces begin with that carry networks without a parent.
pub const LONE_PARENT: &str = "wd";
/// The same for the other end of the pair.
const LONE_PEER: &str = "we";

/// What the kernel is known to have.
#[derive(Default)]
pub struct Ready {
    pub(super) firewall: Option<Firewall>,
    /// What holds while somebody has flushed the firewall.
    pub(super) guard: Option<Arc<Guard>>,
    /// Set at the engine's end: nothing is made any more.
    closed: bool,
}

impl Networks {
    /// Makes a network ready in the kernel; answers the firewall's table, for a network that has to do with it.
    pub(super) async fn make_ready(&self, id: Id) -> Result<Option<String>> {
        let network = self.network(id)?;
        if !network.driver.has_endpoints() {
            return Ok(None);
        }
        if let Some(table) = self.known_ready(&network) {
            return Ok(table);
        }
        let mut ready = self.inner.ready.lock().await;
        if let Some(table) = self.known_ready(&network) {
            return Ok(table);
        }
        if ready.closed {
            return Err(Error::unavailable("the engine is going down"));
        }
        let network = self.bring_up(network).await?;
        let table = match network.driver {
            Driver::Bridge => Some(self.protect(&mut ready, &network).await?),
            _ => None,
        };
        let mut tables = self.tables();
        tables.ready.push(id);
        tables.table = table.clone().or_else(|| tables.table.take());
        Ok(table)
    }

    /// Whether nothing needs to be done. An interface that somebody deleted is noticed.
    fn known_ready(&self, network: &Network) -> Option<Option<String>> {
        let bridge = network.bridge.as_deref().filter(|_| !network.pools.is_empty())?;
        let mut tables = self.tables();
        if !tables.ready.contains(&network.id) {
            return None;
        }
        if !link_exists(bridge) {
            tables.ready.retain(|id| *id != network.id);
            return None;
        }
        match network.driver {
            Driver::Bridge => tables.table.clone().map(Some),
            _ => Some(None),
        }
    }

    /// Makes the bridge or the parent. A subnet that the engine chose for its default network, that no container uses, and
    /// that somebody else on the host has taken meanwhile is chosen anew.
    async fn bring_up(&self, known: Network) -> Result<Network> {
        let network = self.complete(known).await?;
        let ensured = self.ensure_link(&network).await;
        let is_free =
            network.name == "bridge" && self.inner.config.bridge_address.is_none() && !self.is_in_use(network.id);
        match ensured {
            Err(error) if error.kind() == Kind::Conflict && is_free => {
                tracing::info!(network = network.name, reason = %error.chain(), "another subnet is chosen");
                let network = self.complete(Network { pools: Vec::new(), ..network }).await?;
                self.ensure_link(&network).await.map(|()| network)
            }
            other => other.map(|()| network),
        }
    }

    async fn ensure_link(&self, network: &Network) -> Result<()> {
        let Some(link) = network.bridge.clone() else { return Ok(()) };
        let note = self.note();
        if network.driver == Driver::Bridge {
            let config = bridge_config(network, link, note);
            let ports: Vec<String> =
                self.endpoints_on(network.id).into_iter().map(|(_, endpoint)| endpoint.host_name).collect();
            return crate::blocking(move || Bridge::ensure(&config)?.take_ports(&ports)).await;
        }
        let peer = link.replacen(LONE_PARENT, LONE_PEER, 1);
        let is_lone = Settings::of(network)?.parent.is_none();
        crate::blocking(move || match is_lone {
            true => ensure_lone_parent(&link, &peer, &note),
            false => ensure_parent(&link, &note).map(drop),
        })
        .await
    }

    /// Gives the default network its bridge's name, subnets and MTU where it has none yet, and writes them down.
    async fn complete(&self, mut network: Network) -> Result<Network> {
        if network.name != "bridge" || !self.is_stale(&network) {
            return Ok(network);
        }
        let defaults = self.inner.config.network.clone();
        let given = self.inner.config.bridge_address;
        network.bridge = Some(self.bridge_name(&network));
        network.enable_ipv6 = defaults.ipv6;
        let (pools, own) = (self.address_pools(), self.own_prefix()?);
        let taken = self.tables().subnets();
        let network = crate::blocking(move || {
            network.mtu = defaults.mtu.map_or_else(uplink_mtu, Ok)?;
            network.enable_ipv4 = given.is_none();
            define::choose(&mut network, &pools, own, &taken, &used_subnets()?)?;
            network.enable_ipv4 = true;
            if let Some((gateway, prefix)) = given {
                let subnet = Subnet::new(gateway.into(), prefix)?;
                let pool = Pool { subnet, range: None, gateway: Some(gateway.into()), reserved: Vec::new() };
                network.pools.insert(0, pool);
            }
            defaults.apply(&mut network.pools)?;
            Ok(network)
        })
        .await?;
        record::save(&self.inner.store, &network, Durability::Power).await?;
        self.tables().insert(network.clone())?;
        Ok(network)
    }

    /// Whether the default network's subnets are still to be chosen, or the engine is told others than it had.
    fn is_stale(&self, network: &Network) -> bool {
        let defaults = &self.inner.config.network;
        let other_address = self.inner.config.bridge_address.is_some_and(|(gateway, prefix)| {
            let wanted = Subnet::new(gateway.into(), prefix).ok();
            !network.pools.iter().any(|p| Some(p.subnet) == wanted && p.gateway == Some(IpAddr::V4(gateway)))
        });
        let other = other_address || network.enable_ipv6 != defaults.ipv6;
        network.pools.is_empty() || other && !self.is_in_use(network.id)
    }

    /// Makes the firewall know the network.
    async fn protect(&self, ready: &mut Ready, network: &Network) -> Result<String> {
        let rules = self.rules(network)?;
        let (known, guard) = (ready.firewall.clone(), ready.guard.clone());
        let engine_id = self.inner.engine_id.clone();
        let all: Vec<NetworkRules> = self.ready_rules()?.into_iter().chain([rules.clone()]).collect();
        let (firewall, guard) = crate::blocking(move || {
            let guard = match guard {
                Some(guard) => guard,
                None => Arc::new(Guard::open(&engine_id)?),
            };
            guard.ensure(&all)?;
            match known {
                Some(firewall) if firewall.exists()? => firewall.add_network(&rules).map(|()| (firewall, guard)),
                _ => Ok((Firewall::ensure(&engine_id, &all)?, guard)),
            }
        })
        .await?;
        let table = firewall.table().to_owned();
        if ready.firewall.replace(firewall).is_none() {
            warn_of_others();
        }
        ready.guard = Some(guard);
        Ok(table)
    }

    /// The rules of all networks that are ready.
    pub(super) fn ready_rules(&self) -> Result<Vec<NetworkRules>> {
        let tables = self.tables();
        let networks = tables.ready.iter().filter_map(|id| tables.networks.get(id));
        networks.filter(|network| network.driver == Driver::Bridge).map(|network| self.rules(network)).collect()
    }

    fn rules(&self, network: &Network) -> Result<NetworkRules> {
        let settings = Settings::of(network)?;
        let defaults = &self.inner.config.network;
        let is_default = network.name == "bridge";
        Ok(NetworkRules {
            bridge: network.bridge.clone().unwrap_or_default(),
            subnets: network.pools.iter().map(|pool| pool.subnet).collect(),
            outbound: !network.internal,
            masquerade: settings.masquerade && !(is_default && defaults.no_masquerade),
            icc: settings.icc && !(is_default && defaults.no_icc),
        })
    }

    /// Removes what the kernel has of a network; goes on past errors.
    pub(super) async fn clear_kernel(&self, network: &Network) -> Vec<Error> {
        let Some(link) = network.bridge.clone() else { return Vec::new() };
        let ready = self.inner.ready.lock().await;
        let firewall = ready.firewall.clone().filter(|_| network.driver == Driver::Bridge);
        let rules = self.rules(network);
        let shared = self.tables().networks.values().any(|other| other.bridge.as_ref() == Some(&link));
        let note = self.note();
        let work = move || {
            let mut problems: Vec<Error> = Vec::new();
            if let Some(firewall) = firewall {
                problems.extend(rules.and_then(|rules| firewall.remove_network(&rules)).err());
            }
            if !shared {
                problems.extend(remove_noted(&link, &note).err());
            }
            Ok(problems)
        };
        let problems = crate::blocking(work).await.unwrap_or_else(|error| vec![error]);
        drop(ready);
        problems
    }

    /// Puts the kernel in order after a restart of the engine, for the containers that live: bridges, rules, and exactly
    /// these published ports.
    pub(crate) async fn repair(&self, ports: Vec<PortPlan>) -> Result<()> {
        let used: Vec<Id> =
            self.tables().endpoints.iter().filter(|(_, on)| !on.is_empty()).map(|(id, _)| *id).collect();
        for network in used {
            self.make_ready(network).await?;
        }
        self.tables().book.write_all()?;
        let firewall = self.inner.ready.lock().await.firewall.clone();
        match firewall {
            Some(firewall) => crate::blocking(move || firewall.reconcile(&ports)).await,
            None => Ok(()),
        }
    }

    /// Makes the networks that people made ready, so that their bridges are there before the first container is.
    pub(crate) async fn bring_up_all(&self) {
        let made = |network: &Network| !network.is_predefined() && network.driver.has_endpoints();
        for network in self.list().into_iter().filter(made) {
            if let Err(error) = self.make_ready(network.id).await {
                tracing::warn!(network = network.name, reason = %error.chain(), "not ready; containers on it will not start");
            }
        }
    }

    /// Removes interfaces of the host that this engine made for networks which are no more.
    pub(crate) async fn sweep_orphans(&self) -> Vec<Error> {
        let known: Vec<String> = self.tables().networks.values().filter_map(|network| network.bridge.clone()).collect();
        let note = self.note();
        let work = move || {
            let orphans = noted_links(&note)?.into_iter().filter(|link| !known.contains(link));
            Ok(orphans.filter_map(|link| remove_link(&link).err()).collect())
        };
        crate::blocking(work).await.unwrap_or_else(|error| vec![error])
    }

    /// Removes bridges and rules; only when no container lives. `last` tells that the engine ends, and that nothing is to
    /// be made any more.
    pub(crate) async fn take_down(&self, last: bool) -> Vec<Error> {
        let mut ready = self.inner.ready.lock().await;
        {
            let mut tables = self.tables();
            if !tables.joined.is_empty() {
                return Vec::new();
            }
            forget_kernel(&mut tables);
        }
        (ready.firewall, ready.closed) = (None, last);
        let (guard, engine_id) = (ready.guard.take(), self.inner.engine_id.clone());
        let table = Firewall::open(Firewall::table_name(&self.inner.engine_id));
        let links: Vec<String> = self.list().iter().filter_map(|network| network.bridge.clone()).collect();
        let (note, prefix) = (self.note(), format!("wh{}", self.kernel_prefix()));
        let work = move || {
            let own = |link: &String| match link.starts_with(&prefix) || link == "wharf0" {
                true => Bridge::remove(link),
                false => remove_noted(link, &note),
            };
            let guard = guard.map_or_else(|| Guard::open(&engine_id).map(Arc::new), Ok);
            let guarded = guard.and_then(|guard| guard.remove());
            let removed = links.iter().map(own).chain([table.remove(), guarded]);
            removed.filter_map(Result::err).collect()
        };
        let problems = crate::blocking(move || Ok(work())).await.unwrap_or_else(|error| vec![error]);
        drop(ready);
        problems
    }
}

/// Says which chains of others stop what is forwarded: only the administrator can let containers through there.
fn warn_of_others() {
    match forward_drops() {
        Ok(chains) if !chains.is_empty() => {
            tracing::warn!(
                chains = chains.join(", "),
                "another firewall drops forwarded packets: containers reach nothing outside, and nothing reaches their \
                 published ports, unless it lets their bridges through"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(error = %error.chain(), "other firewalls cannot be seen"),
    }
}

fn forget_kernel(tables: &mut Tables) {
    tables.ready.clear();
    tables.table = None;
}

fn bridge_config(network: &Network, name: String, note: String) -> BridgeConfig {
    let mut config = BridgeConfig { name, ipv4: None, ipv6: None, mtu: network.mtu, note };
    for pool in &network.pools {
        match pool.gateway {
            Some(IpAddr::V4(gateway)) => config.ipv4 = Some((gateway, pool.subnet.prefix())),
            Some(IpAddr::V6(gateway)) => config.ipv6 = Some((gateway, pool.subnet.prefix())),
            None => {}
        }
    }
    config
}
