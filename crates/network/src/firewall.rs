//! The engine's nftables table.

use wharf_types::{Error, Result};

use crate::plan::PortPlan;
use crate::subnet::Subnet;

/// One network as the firewall sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRules {
    /// Name of the bridge.
    pub bridge: String,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Whether its containers reach other networks and the outside (false for `--internal`).
    pub outbound: bool,
    /// Whether packets that leave the host get its address.
    pub masquerade: bool,
    /// Whether its containers reach each other.
    pub icc: bool,
}

/// A handle on the table of one engine. Cheap to clone; every call is one netlink transaction in the calling thread's namespace.
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

    /// Creates or repairs the table in one transaction: static chains, and exactly these networks. Published ports stay as they are.
    pub fn ensure(engine_id: &str, networks: &[NetworkRules]) -> Result<Firewall> {
        Err(Error::not_implemented(format!("{engine_id} {networks:?}")))
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Adds a network's elements. Safe to repeat.
    pub fn add_network(&self, network: &NetworkRules) -> Result<()> {
        Err(Error::not_implemented(format!("{network:?}")))
    }

    /// Removes a network's elements; missing ones are no error.
    pub fn remove_network(&self, network: &NetworkRules) -> Result<()> {
        Err(Error::not_implemented(format!("{network:?}")))
    }

    /// Publishes ports, all or none.
    pub fn publish(&self, ports: &[PortPlan]) -> Result<()> {
        Err(Error::not_implemented(format!("{ports:?}")))
    }

    /// Takes ports back; missing ones are no error.
    pub fn unpublish(&self, ports: &[PortPlan]) -> Result<()> {
        Err(Error::not_implemented(format!("{ports:?}")))
    }

    /// All published ports of the table, for reconciliation and the census.
    pub fn list_published(&self) -> Result<Vec<PortPlan>> {
        Err(Error::not_implemented(self.table.clone()))
    }

    /// Removes the table with all that is in it; a missing one is no error.
    pub fn remove(&self) -> Result<()> {
        Err(Error::not_implemented(self.table.clone()))
    }
}
