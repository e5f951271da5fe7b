//! The host's packet filter and forwarding, which other engines change and leave changed.

use std::fs;

use anyhow::Result;
use wharf_testkit::foreign::find;
use wharf_testkit::nft;

use crate::command::{quietly, words};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// How things were.
pub struct Host {
    forwarding: String,
    tables: Vec<String>,
}

impl Host {
    /// Takes note.
    pub fn note() -> Result<Self> {
        Ok(Self { forwarding: fs::read_to_string(FORWARDING)?, tables: nft::tables().unwrap_or_default() })
    }

    /// Removes the tables of iptables that were not there before, and sets forwarding as it was.
    pub fn restore(&self) -> Result<()> {
        fs::write(FORWARDING, &self.forwarding)?;
        if find("nft").is_none() {
            return Ok(());
        }
        let listed = quietly(&mut words("nft list tables"))?;
        for table in listed.lines() {
            let name = table.split(' ').nth(2).unwrap_or_default();
            let made = ["nat", "filter", "raw", "mangle"].contains(&name) && !self.tables.iter().any(|had| had == name);
            if made {
                quietly(&mut words(&format!("nft delete {table}")))?;
            }
        }
        Ok(())
    }
}
