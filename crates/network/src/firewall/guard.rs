//! The part of the rules that a flush of the rule set cannot take.
//!
//! A table that belongs to a socket (`NFT_TABLE_F_OWNER`, Linux 5.12) is changed by that socket alone and passed over by
//! `nft flush ruleset`. With `NFT_TABLE_F_PERSIST` (Linux 6.9) it stays when the socket goes, for the next engine to take
//! over. While the main table is missing, this one keeps strangers out of the containers' subnets and loopback addresses
//! away from the bridges, and keeps the kernel translating connections that are established.

use std::sync::{Mutex, PoisonError};

use wharf_types::{Kind, Result};

use super::NetworkRules;
use super::elements::{bridge_element, range_element};
use super::ruleset::{self, guard_sets};
use crate::netlink::{Refusal, Socket, accept};
use crate::nft::{Element, Transaction};

const OWNER: u32 = 2;
const PERSIST: u32 = 4;
/// The kinds of table from the newest kernel's to the oldest's.
const FLAGS: [u32; 3] = [OWNER | PERSIST, OWNER, 0];

/// A handle on the guarding table of one engine: its owner, as far as the kernel knows owners.
#[derive(Debug)]
pub struct Guard {
    table: String,
    socket: Mutex<Socket>,
}

impl Guard {
    /// The guard of an engine: table `wharf-<engine id>-guard`, family inet. Nothing is made yet.
    ///
    /// # Errors
    /// `System` when there is no netlink socket to be had.
    pub fn open(engine_id: &str) -> Result<Guard> {
        let table = format!("{}-guard", super::Firewall::table_name(engine_id));
        Ok(Guard { table, socket: Mutex::new(Socket::netfilter()?) })
    }

    /// Creates or repairs the table for exactly these networks, in one transaction.
    ///
    /// # Errors
    /// Those of [`super::Firewall::ensure`].
    pub fn ensure(&self, networks: &[NetworkRules]) -> Result<()> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refusals = Vec::new();
        for flags in FLAGS {
            refusals = self.write(flags, networks).commit(&socket)?;
            if refusals.is_empty() {
                return Ok(());
            }
            // One that another kind of kernel or engine made; where it cannot be removed either, the last refusal tells.
            let _ = self.delete(&socket);
        }
        accept(refusals)
    }

    /// Removes the table; a missing one is no error.
    ///
    /// # Errors
    /// `Forbidden` when it belongs to another process.
    pub fn remove(&self) -> Result<()> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        match accept(self.delete(&socket)?) {
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn delete(&self, socket: &Socket) -> Result<Vec<Refusal>> {
        let mut transaction = Transaction::new(&self.table);
        transaction.delete_table();
        transaction.commit(socket)
    }

    fn write(&self, flags: u32, networks: &[NetworkRules]) -> Transaction<'_> {
        let mut transaction = Transaction::new(&self.table);
        transaction.add_table_with(flags);
        ruleset::write_guard(&mut transaction);
        guard_sets::ALL.iter().for_each(|set| transaction.flush_set(set));
        for element in networks.iter().flat_map(of_network) {
            transaction.add_element(&element, false);
        }
        transaction
    }
}

/// A network that hides behind the host's address is never addressed directly from outside; one that does not is.
fn of_network(network: &NetworkRules) -> Vec<Element> {
    let hidden = network.subnets.iter().filter(|_| network.masquerade || !network.outbound);
    let ranges = hidden.map(|subnet| {
        let set = if subnet.is_ipv4() { guard_sets::INSIDE4 } else { guard_sets::INSIDE6 };
        range_element(set, subnet)
    });
    std::iter::once(bridge_element(guard_sets::BRIDGES, &network.bridge)).chain(ranges).collect()
}
