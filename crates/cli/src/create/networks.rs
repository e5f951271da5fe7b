//! Which networks a container joins, and how.

use wharf_api::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use super::flags::ContainerFlags;
use super::request::list;
use crate::grammar::host;
use crate::grammar::network::{Attachment, is_user_defined};

/// The network mode and the settings of each network.
pub fn plan(flags: &ContainerFlags) -> Result<(String, NetworkingConfig), String> {
    if let Some(mac) = flags.mac_address.as_deref().filter(|mac| !mac.is_empty()) {
        host::mac_address(mac)?;
    }
    let mut networks = flags.network.clone();
    let implied = networks.is_empty();
    if implied {
        networks.push(Attachment { target: "default".into(), ..Attachment::default() });
    }
    add_flags(&mut networks[0], flags)?;
    let mode = networks[0].target.clone();
    let several = networks.len() > 1;
    let mut config = NetworkingConfig { endpoints_config: wharf_api::Map::empty() };
    for network in &networks {
        check(network, several)?;
        let plain = *network == Attachment { target: network.target.clone(), ..Attachment::default() };
        let worth_saying = implied || is_user_defined(&network.target) || !only_links(network) && !plain;
        if config.endpoints_config.contains_key(&network.target) {
            return Err(format!("network {:?} is specified multiple times", network.target));
        }
        if worth_saying {
            config.endpoints_config.insert(network.target.clone(), Some(endpoint(network)));
        }
    }
    Ok((mode, config))
}

/// `--ip` and its like are about the first network.
fn add_flags(first: &mut Attachment, flags: &ContainerFlags) -> Result<(), String> {
    let clash = |flag: &str, what: &str| {
        Err(format!("conflicting options: cannot specify both --{flag} and per-network {what}"))
    };
    if !flags.network_alias.is_empty() {
        if !first.aliases.is_empty() {
            return clash("network-alias", "alias");
        }
        first.aliases.clone_from(&flags.network_alias);
    }
    if !flags.link.is_empty() && is_user_defined(&first.target) {
        if !first.links.is_empty() {
            return clash("link", "links");
        }
        first.links.clone_from(&flags.link);
    }
    if let Some(ip) = flags.ip.as_ref().filter(|ip| !ip.is_empty()) {
        if !first.ipv4.is_empty() {
            return clash("ip", "IPv4 address");
        }
        first.ipv4.clone_from(ip);
    }
    if let Some(ip) = flags.ip6.as_ref().filter(|ip| !ip.is_empty()) {
        if !first.ipv6.is_empty() {
            return clash("ip6", "IPv6 address");
        }
        first.ipv6.clone_from(ip);
    }
    if let Some(mac) = flags.mac_address.as_ref().filter(|mac| !mac.is_empty()) {
        if !first.mac_address.is_empty() {
            return clash("mac-address", "MAC address");
        }
        first.mac_address.clone_from(mac);
    }
    if !flags.link_local_ip.is_empty() {
        if !first.link_local.is_empty() {
            return clash("link-local-ip", "link-local IP addresses");
        }
        first.link_local.clone_from(&flags.link_local_ip);
    }
    Ok(())
}

fn check(network: &Attachment, several: bool) -> Result<(), String> {
    if !network.mac_address.is_empty() {
        host::mac_address(&network.mac_address)?;
    }
    if network.target.is_empty() {
        return Err("no name set for network".into());
    }
    if is_user_defined(&network.target) {
        return Ok(());
    }
    if several {
        return Err("conflicting options: cannot attach both user-defined and non-user-defined network-modes".into());
    }
    if !network.aliases.is_empty() {
        return Err("network-scoped aliases are only supported for user-defined networks".into());
    }
    Ok(())
}

fn only_links(network: &Attachment) -> bool {
    let without = Attachment { links: Vec::new(), ..network.clone() };
    !network.links.is_empty() && without == Attachment { target: network.target.clone(), ..Attachment::default() }
}

fn endpoint(network: &Attachment) -> EndpointSettings {
    let ipam = EndpointIpamConfig {
        ipv4_address: network.ipv4.clone(),
        ipv6_address: network.ipv6.clone(),
        link_local_ips: network.link_local.clone(),
    };
    EndpointSettings {
        ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
        links: list(&network.links),
        aliases: list(&network.aliases),
        mac_address: network.mac_address.clone(),
        driver_opts: if network.driver_opts.is_empty() {
            wharf_api::Map::null()
        } else {
            network.driver_opts.clone().into()
        },
        gw_priority: network.gateway_priority,
        ..EndpointSettings::default()
    }
}
