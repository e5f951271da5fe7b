//! What is known of a network, and its row in the database.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use wharf_api::network::Ipam;
use wharf_network::Subnet;
use wharf_types::{Error, Id, Result};

use crate::store::{Durability, Store};

/// Who carries a network's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge on the host.
    Bridge,
    /// The host's own interfaces.
    Host,
    /// Nothing but loopback.
    Null,
    /// Hardware addresses of the containers' own on an interface of the host.
    Macvlan,
    /// The hardware address of an interface of the host, shared.
    Ipvlan,
}

impl Driver {
    /// Docker's name.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Bridge => "bridge",
            Driver::Host => "host",
            Driver::Null => "null",
            Driver::Macvlan => "macvlan",
            Driver::Ipvlan => "ipvlan",
        }
    }

    /// Whether containers get interfaces and addresses from it.
    pub fn has_endpoints(self) -> bool {
        !matches!(self, Driver::Host | Driver::Null)
    }
}

/// A subnet of a network, every choice made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: Subnet,
    /// The part from which addresses are given; all of it where absent.
    #[serde(default)]
    pub range: Option<Subnet>,
    /// The way out.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Addresses that are not given to containers.
    #[serde(default)]
    pub reserved: Vec<IpAddr>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: Id,
    /// Its unique name.
    pub name: String,
    /// Who carries its packets.
    pub driver: Driver,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The bridge's interface name, once there is one; with macvlan and ipvlan the parent's.
    #[serde(default)]
    pub bridge: Option<String>,
    /// Its subnets, once they were chosen.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// Whether its containers have IPv4 addresses.
    #[serde(default = "yes")]
    pub enable_ipv4: bool,
    /// Whether its containers have IPv6 addresses.
    #[serde(default)]
    pub enable_ipv6: bool,
    /// Maximum transmission unit in bytes; 0 until one was chosen.
    #[serde(default)]
    pub mtu: u32,
    /// Whether nothing leaves it.
    #[serde(default)]
    pub internal: bool,
    /// Shown, and without effect outside a swarm.
    #[serde(default)]
    pub attachable: bool,
    /// Whether it is no network, only a configuration for others.
    #[serde(default)]
    pub config_only: bool,
    /// The network whose configuration it took; empty for none.
    #[serde(default)]
    pub config_from: String,
    /// What the person asked for about addresses.
    #[serde(default)]
    pub ipam: Ipam,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Driver options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The networks that every engine has.
pub const PREDEFINED: [(&str, Driver); 3] =
    [("bridge", Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)];

impl Network {
    /// A network with nothing chosen.
    pub(super) fn new(id: Id, name: &str, driver: Driver) -> Self {
        Self {
            id,
            name: name.to_owned(),
            driver,
            created: crate::time::now(),
            bridge: None,
            pools: Vec::new(),
            enable_ipv4: driver.has_endpoints(),
            enable_ipv6: false,
            mtu: 0,
            internal: false,
            attachable: false,
            config_only: false,
            config_from: String::new(),
            ipam: Ipam { driver: "default".into(), ..Ipam::default() },
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    /// Whether it is one of the three that every engine has.
    pub fn is_predefined(&self) -> bool {
        is_predefined(&self.name)
    }

    /// The IPv4 gateway, once one was chosen.
    pub fn gateway4(&self) -> Option<std::net::Ipv4Addr> {
        self.pools.iter().find_map(|pool| match pool.gateway {
            Some(IpAddr::V4(gateway)) => Some(gateway),
            _ => None,
        })
    }

    /// Whether it has a subnet of this family that the person chose, so that containers may choose addresses.
    pub fn has_configured_subnet(&self, ipv4: bool) -> bool {
        self.ipam.config.iter().any(|config| config.subnet.parse::<Subnet>().is_ok_and(|s| s.is_ipv4() == ipv4))
    }
}

/// Whether the name belongs to one of the networks that every engine has.
pub fn is_predefined(name: &str) -> bool {
    PREDEFINED.iter().any(|(known, _)| *known == name) || name == "default"
}

/// Writes a network's row.
pub(super) async fn save(store: &Store, network: &Network, durability: Durability) -> Result<()> {
    let (id, name) = (network.id.to_string(), network.name.clone());
    let record = crate::json::write(network)?;
    let write = move |s: &rusqlite::Savepoint<'_>| {
        s.execute("INSERT OR REPLACE INTO network VALUES (?1, ?2, ?3)", (&id, &name, &record)).map(drop)
    };
    store.write(durability, write).await
}

/// Forgets a network.
pub(super) async fn delete(store: &Store, id: Id) -> Result<()> {
    let id = id.to_string();
    let write = move |s: &rusqlite::Savepoint<'_>| s.execute("DELETE FROM network WHERE id = ?1", [&id]).map(drop);
    store.write(Durability::Power, write).await
}

/// Reads all rows.
pub(super) async fn load(store: &Store) -> Result<Vec<Network>> {
    let read = |s: &rusqlite::Savepoint<'_>| {
        let mut query = s.prepare("SELECT record FROM network")?;
        query.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = store.write(Durability::Crash, read).await?;
    rows.iter().map(|text| parse(text)).collect()
}

/// What rows had before networks could have several subnets.
#[derive(Deserialize)]
struct Single {
    #[serde(default)]
    subnet: Option<Subnet>,
    #[serde(default)]
    gateway: Option<IpAddr>,
}

fn parse(text: &str) -> Result<Network> {
    let damaged = |error| Error::corrupt("a network in the state database is damaged").caused_by(error);
    let mut network: Network = serde_json::from_str(text).map_err(damaged)?;
    let Single { subnet, gateway } = serde_json::from_str(text).map_err(damaged)?;
    if let (Some(subnet), true) = (subnet, network.pools.is_empty()) {
        network.pools.push(Pool { subnet, range: None, gateway, reserved: Vec::new() });
    }
    if !network.driver.has_endpoints() {
        network.enable_ipv4 = false;
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_an_engine_that_knew_one_subnet_is_read() {
        let id = crate::names::fresh_id();
        let text = format!(
            r#"{{"id":"{id}","name":"bridge","driver":"bridge","created":"","bridge":"wh0","subnet":"10.0.0.0/24","gateway":"10.0.0.1","mtu":1400}}"#
        );
        let network = parse(&text).unwrap();
        assert_eq!(network.pools[0].subnet.to_string(), "10.0.0.0/24");
        assert_eq!((network.gateway4(), network.enable_ipv4), (Some([10, 0, 0, 1].into()), true));
        let again = parse(&crate::json::write(&network).unwrap()).unwrap();
        assert_eq!(again, network);
    }
}
