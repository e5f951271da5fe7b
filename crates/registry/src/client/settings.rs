//! What the client is told: mirrors, lists of hosts to be lenient with, folders with certificates, proxies.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;
use wharf_types::{Error, Result};

/// Everything that can be set. The library reads no environment: whoever wants its proxies puts them here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Mirrors, in the order in which they are tried before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Registries whose certificates are not checked and that may speak plain HTTP: `host[:port]` or an address range
    /// as `10.0.0.0/8`. Those on the loopback interface are, too, unless their folder names an authority.
    pub insecure: Vec<String>,
    /// Folders with one folder for each registry (`host[:port]` or `_default`) that holds a `hosts.toml`, CA
    /// certificates (`*.crt`) and client certificates (`*.cert` with `*.key`). The first that has the registry counts.
    pub hosts_dirs: Vec<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
    /// How the client introduces itself.
    pub user_agent: String,
    /// How often in a row something may fail before it is given up.
    pub attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            hosts_dirs: Vec::new(),
            proxies: Proxies::default(),
            user_agent: concat!("wharf/", env!("CARGO_PKG_VERSION")).to_owned(),
            attempts: 5,
        }
    }
}

/// A place that has the same content as a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry.
    pub of: String,
    /// Where the same can be had.
    pub url: String,
}

impl std::str::FromStr for Mirror {
    type Err = Error;

    /// `URL` for Docker Hub, as dockerd has it, or `REGISTRY=URL` for any other.
    fn from_str(text: &str) -> Result<Self> {
        let (of, url) = match text.split_once('=') {
            Some((of, url)) if !of.contains("://") => (of, url),
            _ => (wharf_types::DEFAULT_DOMAIN, text),
        };
        let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if parsed.is_none() || of.is_empty() {
            return Err(Error::invalid(format!("invalid mirror: {text:?} is no URL"))
                .with_hint("write https://HOST, or REGISTRY=https://HOST for a registry other than Docker Hub"));
        }
        Ok(Self { of: of.to_owned(), url: url.to_owned() })
    }
}

/// Proxies, as URLs with scheme `http`, `https`, `socks5` or `socks5h`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Hosts, domains and address ranges that are reached directly, separated by commas.
    pub except: Option<String>,
}

impl Settings {
    /// Whether a registry's certificate may be wrong or missing: where a person has said so, and on the loopback
    /// interface unless they have said which authorities count there.
    pub(crate) fn is_insecure(&self, authority: &str, authorities: &[PathBuf]) -> bool {
        let (host, _) = split_port(authority);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let is_listed = |entry: &String| {
            entry == authority || entry == host || address.is_some_and(|address| in_range(entry, address))
        };
        is_loopback && authorities.is_empty() || self.insecure.iter().any(is_listed)
    }
}

/// `host:port` in two; an IPv6 address keeps its brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Whether an address is in a range like `10.0.0.0/8`.
fn in_range(range: &str, address: IpAddr) -> bool {
    let Some((network, length)) = range.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if length <= 32 => {
            let differing = u32::from(network) ^ u32::from(address);
            differing.checked_shr(32 - length).unwrap_or(0) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if length <= 128 => {
            let differing = u128::from(network) ^ u128::from(address);
            differing.checked_shr(128 - length).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenience_is_for_the_listed_and_the_loopback() {
        let insecure = ["reg.test:5000", "plain.test", "10.1.0.0/16", "0.0.0.0/0"].map(str::to_owned).to_vec();
        let settings = Settings { insecure: insecure[..3].to_vec(), ..Settings::default() };
        for host in
            ["reg.test:5000", "plain.test", "plain.test:80", "10.1.9.9:5000", "localhost:1", "127.9.9.9", "[::1]:5"]
        {
            assert!(settings.is_insecure(host, &[]), "{host}");
        }
        for host in ["reg.test", "reg.test:5001", "10.2.0.1", "docker.io", "[::2]:5"] {
            assert!(!settings.is_insecure(host, &[]), "{host}");
        }
        let authorities = [PathBuf::from("ca.crt")];
        assert!(!settings.is_insecure("127.0.0.1:5000", &authorities), "an authority is there to be asked");
        assert!(settings.is_insecure("reg.test:5000", &authorities), "what is listed stays listed");
        assert!(Settings { insecure, ..Settings::default() }.is_insecure("8.8.8.8", &[]));
    }

    #[test]
    fn mirrors_are_of_docker_hub_unless_they_say_otherwise() {
        let read = |text: &str| text.parse::<Mirror>().map(|mirror| (mirror.of, mirror.url));
        assert_eq!(read("https://m.test").unwrap(), ("docker.io".into(), "https://m.test".into()));
        assert_eq!(read("ghcr.io=http://m.test/x").unwrap(), ("ghcr.io".into(), "http://m.test/x".into()));
        assert!(read("m.test").is_err() && read("ftp://m").is_err() && read("=https://m").is_err());
    }
}
