//! How a container finds names: its `resolv.conf`, and the servers that its own name server asks for others.

use std::net::{IpAddr, SocketAddr};

use wharf_monitor::protocol::NameServer;
use wharf_network::RESOLVER;

use super::record::Record;

/// Where the host's name servers are written when systemd-resolved sits in front of them.
const RESOLVED_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";
/// Docker's choice for a host that has no name server a container could reach.
const FALLBACK_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
const PORT: u16 = 53;

/// Whom a container asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// The same servers as the host: it has the host's network.
    HostsServers,
    /// Servers outside, as far as it can reach them.
    Outside {
        /// Whether it has an IPv6 address.
        ipv6: bool,
    },
    /// The name server that its monitor holds ready.
    ItsMonitor,
}

/// The text of `resolv.conf`.
pub fn text(record: &Record, engine_dns: &[String], asks: Asks) -> String {
    let host = match asks {
        // Its own name server is asked from the host.
        Asks::ItsMonitor => host_resolv_conf(),
        Asks::HostsServers | Asks::Outside { .. } => without_resolved(host_resolv_conf()),
    };
    let name_servers = match asks {
        Asks::ItsMonitor => vec![RESOLVER.to_string()],
        _ => name_servers(record, engine_dns, &host, asks),
    };
    render(record, &host, &name_servers, asks)
}

fn render(record: &Record, host: &str, name_servers: &[String], asks: Asks) -> String {
    let wanted = &record.host_config;
    let search = pick(&wanted.dns_search, host, "search");
    let mut options = pick(&wanted.dns_options, host, "options");
    if asks == Asks::ItsMonitor && !options.iter().any(|option| option.starts_with("ndots:")) {
        // Names of containers have no dots, and are to be asked for as they are first.
        options.push("ndots:0".to_owned());
    }
    let mut text = String::from("# Written by wharf at each start of the container.\n");
    for server in name_servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    for (keyword, words) in [("search", search), ("options", options)] {
        if !words.is_empty() && words != ["."] {
            text.push_str(&format!("{keyword} {}\n", words.join(" ")));
        }
    }
    text
}

fn name_servers(record: &Record, engine_dns: &[String], host: &str, asks: Asks) -> Vec<String> {
    let asked_for = explicit(record, engine_dns);
    if !asked_for.is_empty() {
        return asked_for;
    }
    let usable = |server: &&str| match asks {
        Asks::Outside { ipv6 } => is_reachable(server, ipv6),
        _ => true,
    };
    let found: Vec<String> = servers(host).filter(usable).map(str::to_owned).collect();
    if found.is_empty() && asks != Asks::HostsServers { FALLBACK_SERVERS.map(str::to_owned).to_vec() } else { found }
}

/// The servers that a container's own name server asks. Those that the person named are asked from the container; the
/// host's on loopback can only be asked from the host.
pub fn upstreams(record: &Record, engine_dns: &[String]) -> Vec<NameServer> {
    upstreams_among(&explicit(record, engine_dns), &host_resolv_conf())
}

fn upstreams_among(asked_for: &[String], host: &str) -> Vec<NameServer> {
    let at = |ip: IpAddr, from_host| NameServer { address: SocketAddr::new(ip, PORT), from_host };
    let parse = |text: &str| text.parse::<IpAddr>().ok();
    if !asked_for.is_empty() {
        return asked_for.iter().filter_map(|text| parse(text)).map(|ip| at(ip, false)).collect();
    }
    let found: Vec<NameServer> = servers(host).filter_map(parse).map(|ip| at(ip, ip.is_loopback())).collect();
    if !found.is_empty() {
        return found;
    }
    FALLBACK_SERVERS.iter().filter_map(|text| parse(text)).map(|ip| at(ip, false)).collect()
}

/// The servers that somebody named.
fn explicit(record: &Record, engine_dns: &[String]) -> Vec<String> {
    let own = &record.host_config.dns;
    if own.is_empty() { engine_dns.to_vec() } else { own.to_vec() }
}

fn host_resolv_conf() -> String {
    std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

/// The servers behind systemd-resolved, which only the host itself can ask.
fn without_resolved(text: String) -> String {
    let behind_resolved = servers(&text).collect::<Vec<_>>() == ["127.0.0.53"];
    if behind_resolved { std::fs::read_to_string(RESOLVED_UPSTREAMS).unwrap_or(text) } else { text }
}

/// What the person asked for, or else what the host has.
fn pick(own: &[String], host: &str, keyword: &str) -> Vec<String> {
    if !own.is_empty() {
        return own.to_vec();
    }
    let mut lines =
        host.lines().filter_map(|line| line.trim().strip_prefix(keyword)).filter(|rest| rest.starts_with([' ', '\t']));
    lines.next_back().map(|rest| rest.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
}

fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.split_whitespace().next())
}

/// Whether a container with a network of its own can ask this server: not one on the host's loopback or link.
fn is_reachable(server: &str, has_ipv6: bool) -> bool {
    match server.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => !address.is_loopback() && !address.is_unspecified(),
        Ok(IpAddr::V6(address)) => {
            let is_global = !address.is_loopback() && !address.is_unspecified() && !address.is_unicast_link_local();
            is_global && (has_ipv6 || address.to_ipv4_mapped().is_some())
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "nameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch corp.example\noptions edns0 trust-ad\n";

    fn addresses(servers: &[NameServer]) -> Vec<(String, bool)> {
        servers.iter().map(|server| (server.address.to_string(), server.from_host)).collect()
    }

    #[test]
    fn the_hosts_own_resolver_is_asked_from_the_host() {
        let found = upstreams_among(&[], HOST);
        assert_eq!(addresses(&found), [("127.0.0.53:53".into(), true), ("192.0.2.1:53".into(), false)]);
        let named = upstreams_among(&["127.0.0.1".into(), "2001:db8::1".into()], HOST);
        assert_eq!(addresses(&named), [("127.0.0.1:53".into(), false), ("[2001:db8::1]:53".into(), false)]);
        assert_eq!(upstreams_among(&[], "").len(), FALLBACK_SERVERS.len());
    }

    #[test]
    fn only_servers_in_reach_are_passed_on() {
        let reachable = |ipv6| servers(HOST).filter(|server| is_reachable(server, ipv6)).collect::<Vec<_>>();
        assert_eq!(reachable(false), ["192.0.2.1"]);
        assert!(!is_reachable("2001:db8::1", false) && is_reachable("2001:db8::1", true));
    }

    #[test]
    fn words_of_the_host_are_taken_where_the_person_has_none() {
        assert_eq!(pick(&[], HOST, "search"), ["corp.example"]);
        assert_eq!(pick(&["own.example".into()], HOST, "search"), ["own.example"]);
        assert_eq!(pick(&[], HOST, "options"), ["edns0", "trust-ad"]);
        assert!(pick(&[], "searching x\n", "search").is_empty());
    }
}
