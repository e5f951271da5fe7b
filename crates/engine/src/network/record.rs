//! What is known of a network, and its row in the database.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
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
}

impl Driver {
    /// Docker's name.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Bridge => "bridge",
            Driver::Host => "host",
            Driver::Null => "null",
        }
    }
}

/// A network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: Id,
    /// Its unique name.
    pub name: String,
    /// Who carries its packets.
    pub driver: Driver,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The bridge's interface name, once there is one.
    #[serde(default)]
    pub bridge: Option<String>,
    /// Its subnet, once one was chosen.
    #[serde(default, with = "as_text")]
    pub subnet: Option<Subnet>,
    /// The bridge's address.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// Maximum transmission unit in bytes; 0 until one was chosen.
    #[serde(default)]
    pub mtu: u32,
    /// Whether nothing leaves it.
    #[serde(default)]
    pub internal: bool,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Driver options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Network {
    /// One of the three networks that every engine has.
    pub(super) fn predefined(id: Id, name: &str, driver: Driver) -> Self {
        Self {
            id,
            name: name.to_owned(),
            driver,
            created: crate::time::now(),
            bridge: None,
            subnet: None,
            gateway: None,
            mtu: 0,
            internal: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }
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

/// Reads all rows.
pub(super) async fn load(store: &Store) -> Result<Vec<Network>> {
    let read = |s: &rusqlite::Savepoint<'_>| {
        let mut query = s.prepare("SELECT record FROM network")?;
        query.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = store.write(Durability::Crash, read).await?;
    let parse = |text: &String| {
        serde_json::from_str(text)
            .map_err(|e| Error::corrupt("a network in the state database is damaged").caused_by(e))
    };
    rows.iter().map(parse).collect()
}

/// A subnet as `172.17.0.0/16`.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use wharf_network::Subnet;

    pub fn serialize<S: Serializer>(subnet: &Option<Subnet>, serializer: S) -> Result<S::Ok, S::Error> {
        match subnet {
            Some(subnet) => serializer.collect_str(subnet),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Subnet>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}
