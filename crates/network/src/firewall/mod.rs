//! The engine's nftables table: static chains, and sets and maps whose elements are networks and published ports.
//!
//! Publishing a port is adding a map element, so that its cost, and that of every packet, does not grow with the
//! number of ports. docs/FIREWALL.md is the administrator's view.

mod conntrack;
mod elements;
mod guard;
mod ruleset;
mod watch;

use std::collections::HashSet;

use wharf_types::{Error, Kind, Result, ResultExt};

pub use self::guard::Guard;
use self::ruleset::sets;
pub use self::watch::Watch;
use crate::netlink::{Refusal, Socket};
use crate::nft::{DroppingChain, Element, Transaction, dump_dropping_chains, dump_elements, dump_rule_chains};
use crate::plan::{PortPlan, Protocol};
use crate::subnet::Subnet;

/// How often a transaction is tried again after another process changed the same elements.
const ATTEMPTS: usize = 5;

/// One network as the firewall sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRules {
    /// Name of the bridge.
    pub bridge: String,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Whether its containers reach other interfaces of the host (false for `--internal`).
    pub outbound: bool,
    /// Whether packets that leave the host get its address.
    pub masquerade: bool,
    /// Whether its containers reach each other.
    pub icc: bool,
}

/// A handle on the table of one engine. Cheap to clone; every call is one netlink transaction in the calling thread's
/// namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    table: String,
}

impl Firewall {
    /// The table of an engine: `wharf-<engine id>`, family inet.
    pub fn table_name(engine_id: &str) -> String {
        format!("wharf-{engine_id}")
    }

    /// A handle on a table that exists already, for the monitor.
    pub fn open(table: impl Into<String>) -> Firewall {
        Firewall { table: table.into() }
    }

    /// Creates or repairs the table in one transaction: the static chains, and exactly these networks. Published
    /// ports and the administrator's chain stay as they are.
    ///
    /// # Errors
    /// `NotImplemented` when the kernel has no nftables, `Forbidden` without CAP_NET_ADMIN.
    pub fn ensure(engine_id: &str, networks: &[NetworkRules]) -> Result<Firewall> {
        let firewall = Firewall::open(Firewall::table_name(engine_id));
        let mut transaction = Transaction::new(&firewall.table);
        ruleset::write(&mut transaction);
        sets::OF_NETWORKS.iter().for_each(|set| transaction.flush_set(set));
        for element in networks.iter().flat_map(elements::of_network) {
            transaction.add_element(&element, false);
        }
        let refusals = transaction.commit(&Socket::netfilter()?)?;
        firewall.accept(refusals).map(|()| firewall)
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Whether the table is there: false after someone flushed the whole rule set, when [`Firewall::ensure`] and
    /// [`Firewall::publish`] restore it.
    pub fn exists(&self) -> Result<bool> {
        match dump_elements(&Socket::netfilter()?, &self.table, sets::BRIDGES) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether all rules, these networks and these published ports are there.
    ///
    /// # Errors
    /// `System` when the kernel does not answer.
    pub fn is_intact(&self, networks: &[NetworkRules], ports: &[PortPlan]) -> Result<bool> {
        match self.compare(&Socket::netfilter()?, networks, ports) {
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            intact => intact,
        }
    }

    fn compare(&self, socket: &Socket, networks: &[NetworkRules], ports: &[PortPlan]) -> Result<bool> {
        if !ruleset::is_complete(&dump_rule_chains(socket, &self.table)?) {
            return Ok(false);
        }
        let mut wanted: Vec<Element> = networks.iter().flat_map(elements::of_network).collect();
        for port in ports.iter().filter(|port| !port.is_relayed()) {
            wanted.push(elements::of_port(port)?);
        }
        for set in sets::OF_NETWORKS.iter().chain(&sets::OF_PORTS) {
            let of_set: Vec<&Element> = wanted.iter().filter(|element| element.set == *set).collect();
            if of_set.is_empty() {
                continue;
            }
            let present: HashSet<Vec<u8>> =
                dump_elements(socket, &self.table, set)?.into_iter().map(|(key, _)| key).collect();
            if of_set.iter().any(|element| !present.contains(&element.key)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds a network's elements. Safe to repeat.
    pub fn add_network(&self, network: &NetworkRules) -> Result<()> {
        let mut transaction = Transaction::new(&self.table);
        for element in elements::of_network(network) {
            transaction.add_element(&element, false);
        }
        self.accept(transaction.commit(&Socket::netfilter()?)?)
    }

    /// Removes a network's elements; missing ones are no error.
    pub fn remove_network(&self, network: &NetworkRules) -> Result<()> {
        self.delete(&Socket::netfilter()?, elements::of_network(network))
    }

    /// Publishes ports, all or none. An element that is there already is replaced: whoever calls this holds the
    /// host's port, so that it can only be left over from a monitor that was killed.
    ///
    /// # Errors
    /// `System` or `NotFound` when the kernel refuses; relayed ports ([`PortPlan::is_relayed`]) are passed over.
    pub fn publish(&self, ports: &[PortPlan]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.publish_through(&Socket::netfilter()?, ports)
    }

    pub(crate) fn publish_through(&self, socket: &Socket, ports: &[PortPlan]) -> Result<()> {
        let elements = elements_of(ports)?;
        self.insert(socket, &elements)?;
        conntrack::forget_datagrams(socket, ports)
    }

    /// Takes ports back; missing ones are no error.
    pub fn unpublish(&self, ports: &[PortPlan]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        self.unpublish_through(&Socket::netfilter()?, ports)
    }

    pub(crate) fn unpublish_through(&self, socket: &Socket, ports: &[PortPlan]) -> Result<()> {
        self.delete(socket, elements_of(ports)?)?;
        conntrack::forget_datagrams(socket, ports)
    }

    /// All published ports of the table, for reconciliation and the census. None when the table does not exist.
    pub fn list_published(&self) -> Result<Vec<PortPlan>> {
        let socket = Socket::netfilter()?;
        let mut ports = Vec::new();
        for map in sets::OF_PORTS {
            match dump_elements(&socket, &self.table, map) {
                Ok(found) => ports.extend(found.iter().filter_map(|(key, data)| elements::to_port(map, key, data))),
                Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot list the ports of table {}", self.table));
                }
            }
        }
        Ok(ports)
    }

    /// Publishes those of these ports that are missing, and leaves all others alone.
    pub fn publish_missing(&self, live: &[PortPlan]) -> Result<()> {
        self.publish(&missing(live, &self.list_published()?))
    }

    /// Makes the published ports exactly these: removes those of containers that are gone and adds those that a flush
    /// of the rule set took. For the start of an engine, before any container is started.
    pub fn reconcile(&self, live: &[PortPlan]) -> Result<()> {
        let present = self.list_published()?;
        let orphans: Vec<PortPlan> = present.iter().filter(|port| !live.contains(port)).cloned().collect();
        self.unpublish(&orphans)?;
        self.publish(&missing(live, &present))
    }

    /// Removes the table with all that is in it, the administrator's chain too; a missing one is no error.
    pub fn remove(&self) -> Result<()> {
        let mut transaction = Transaction::new(&self.table);
        transaction.delete_table();
        let mut refusals = transaction.commit(&Socket::netfilter()?)?;
        refusals.retain(|refusal| refusal.errno != libc::ENOENT);
        self.accept(refusals)
    }

    fn insert(&self, socket: &Socket, elements: &[Element]) -> Result<()> {
        let mut stale = vec![false; elements.len()];
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::new(&self.table);
            let sent: Vec<_> = elements
                .iter()
                .zip(&stale)
                .map(|(element, stale)| {
                    let deleted = stale.then(|| transaction.delete_element(element));
                    (deleted, transaction.add_element(element, true))
                })
                .collect();
            let refusals = transaction.commit(socket)?;
            if refusals.is_empty() {
                return Ok(());
            }
            let changed = sent.iter().zip(&mut stale).filter(|((deleted, added), stale)| {
                let vanished = deleted.is_some_and(|number| refused(&refusals, number, libc::ENOENT));
                let present = refused(&refusals, *added, libc::EEXIST);
                vanished || (present && !**stale)
            });
            let changed = changed.map(|(_, stale)| *stale = !*stale).count();
            if changed == 0 {
                return self.accept(refusals);
            }
        }
        Err(Error::conflict(format!("the ports in table {} keep changing", self.table)))
    }

    fn delete(&self, socket: &Socket, mut elements: Vec<Element>) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::new(&self.table);
            let sent: Vec<u32> = elements.iter().map(|element| transaction.delete_element(element)).collect();
            let refusals = transaction.commit(socket)?;
            if refusals.is_empty() {
                return Ok(());
            }
            let missing: Vec<bool> = sent.iter().map(|number| refused(&refusals, *number, libc::ENOENT)).collect();
            if !missing.contains(&true) {
                return self.accept(refusals);
            }
            let mut missing = missing.into_iter();
            elements.retain(|_| !missing.next().unwrap_or(false));
        }
        Err(Error::conflict(format!("the elements of table {} keep changing", self.table)))
    }

    /// The first refusal as an error.
    fn accept(&self, refusals: Vec<Refusal>) -> Result<()> {
        let Some(refusal) = refusals.into_iter().next() else { return Ok(()) };
        let hint = match refusal.errno {
            libc::EPERM => "the engine needs CAP_NET_ADMIN",
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT => {
                "the kernel needs CONFIG_NF_TABLES_INET, NFT_NAT, NFT_MASQ, NFT_CT and NFT_FIB_INET"
            }
            libc::ENOENT => "the table or one of its parts is gone; restarting the engine restores it",
            _ => {
                return Err(Error::from(refusal))
                    .with_context(|| format!("cannot change the nftables table {}", self.table));
            }
        };
        let cause = Error::from(refusal);
        Err(Error::new(cause.kind(), format!("cannot change the nftables table {}", self.table))
            .with_hint(hint)
            .caused_by(cause))
    }
}

/// What is not published of that which the kernel is to translate.
fn missing(live: &[PortPlan], present: &[PortPlan]) -> Vec<PortPlan> {
    let missing = live.iter().filter(|port| !port.is_relayed() && !present.contains(port));
    missing.cloned().collect()
}

/// The elements of those ports that the kernel translates.
fn elements_of(ports: &[PortPlan]) -> Result<Vec<Element>> {
    ports.iter().filter(|port| !port.is_relayed()).map(elements::of_port).collect()
}

/// Whether these ports can be published at all.
pub(crate) fn check(ports: &[PortPlan]) -> Result<()> {
    let impossible = ports.iter().find(|port| port.is_relayed() && port.protocol != Protocol::Tcp);
    if let Some(port) = impossible {
        let sentence = format!("cannot publish UDP or SCTP on {}: the container has no IPv6 address", port.host_ip);
        return Err(
            Error::not_implemented(sentence).with_hint("put it on a network with IPv6, or publish on an IPv4 address")
        );
    }
    elements_of(ports).map(drop)
}

/// What other tables of this host (iptables-nft's are such) do to packets that are forwarded: the chains that drop what
/// they do not know, as `ip filter FORWARD`. Containers' packets must be let through there by the administrator.
///
/// # Errors
/// `System` when the kernel does not answer.
pub fn forward_drops() -> Result<Vec<String>> {
    /// `NF_INET_FORWARD`.
    const HOOK: u32 = 2;
    let chains = dump_dropping_chains(&Socket::netfilter()?, HOOK)?;
    Ok(chains.iter().map(|DroppingChain { family, table, chain }| format!("{family} {table} {chain}")).collect())
}

fn refused(refusals: &[Refusal], number: u32, errno: i32) -> bool {
    refusals.iter().any(|refusal| refusal.sequence == number && refusal.errno == errno)
}
