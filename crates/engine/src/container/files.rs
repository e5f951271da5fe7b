//! The files that the engine writes for a container: hostname, hosts, resolv.conf.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use wharf_network::plan::{EndpointPlan, SandboxPlan};
use wharf_types::{Error, Result, ResultExt};

use super::record::Record;
use super::resolv::{self, Asks};

/// The files that are mounted over those of the image, by their names in the container's folder and inside it.
pub const MANAGED: [(&str, &str); 3] =
    [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")];

/// What the engine knows and a container's files depend on.
pub struct Surroundings<'a> {
    /// The engine's own name servers, if it has any.
    pub dns: &'a [String],
    /// The address of the default network's bridge, where there is one by now.
    pub host_gateway: Option<Ipv4Addr>,
    /// Whether its monitor answers names.
    pub has_names: bool,
    /// The folder of the container whose network it shares.
    pub joined: Option<PathBuf>,
}

/// Writes all three into the container's folder. Nothing is synced: they are written anew at each start.
///
/// # Errors
/// `InvalidParameter` for `host-gateway` where there is no bridge; those of the file system.
pub fn write(record: &Record, sandbox: &SandboxPlan, dir: &Path, around: &Surroundings<'_>) -> Result<()> {
    if let Some(other) = &around.joined {
        put(dir, "hostname", &format!("{}\n", record.hostname()))?;
        return ["hosts", "resolv.conf"].iter().try_for_each(|name| copy(other, dir, name));
    }
    let own_network = matches!(sandbox, SandboxPlan::Own { .. });
    let host_file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let extra = extra_hosts(record, around.host_gateway)?;
    let hosts = if own_network { hosts(record, sandbox, &extra) } else { host_file("/etc/hosts") + &extra };
    let resolv = resolv::text(record, around.dns, asks(sandbox, around.has_names));
    put(dir, "hostname", &format!("{}\n", record.hostname()))?;
    put(dir, "hosts", &hosts)?;
    put(dir, "resolv.conf", &resolv)
}

/// Writes `resolv.conf` of a container that runs anew: it came to its first network with names.
pub fn renew_resolv_conf(record: &Record, sandbox: &SandboxPlan, dir: &Path, dns: &[String]) -> Result<()> {
    put(dir, "resolv.conf", &resolv::text(record, dns, asks(sandbox, true)))
}

fn asks(sandbox: &SandboxPlan, has_names: bool) -> Asks {
    match sandbox {
        _ if has_names => Asks::ItsMonitor,
        SandboxPlan::Own { endpoints, .. } => Asks::Outside { ipv6: endpoints.iter().any(|e| e.ipv6.is_some()) },
        _ => Asks::HostsServers,
    }
}

/// Takes a file over from another container's folder.
fn copy(from: &Path, to: &Path, name: &str) -> Result<()> {
    let path = from.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    put(to, name, &text)
}

fn put(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn hosts(record: &Record, sandbox: &SandboxPlan, extra: &str) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    text.push_str(extra);
    let SandboxPlan::Own { endpoints, .. } = sandbox else { return text };
    for endpoint in endpoints {
        put_endpoint(&mut text, record, endpoint);
    }
    text
}

fn put_endpoint(text: &mut String, record: &Record, endpoint: &EndpointPlan) {
    let hostname = record.hostname();
    let names = match record.config.domainname.as_str() {
        "" => hostname,
        domain => format!("{hostname}.{domain} {hostname}"),
    };
    for address in addresses(endpoint) {
        put_line(text, &address, &names);
    }
}

fn addresses(endpoint: &EndpointPlan) -> impl Iterator<Item = String> {
    let ipv4 = endpoint.ipv4.map(|(address, _)| address.to_string());
    ipv4.into_iter().chain(endpoint.ipv6.map(|(address, _)| address.to_string()))
}

/// Adds the addresses of an interface to the hosts file of a container that runs. The file is written in place, since it is
/// mounted, and what somebody inside wrote into it stays.
pub fn add_host(record: &Record, endpoint: &EndpointPlan, dir: &Path) -> Result<()> {
    let mut text = read(dir)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    put_endpoint(&mut text, record, endpoint);
    put(dir, "hosts", &text)
}

/// Takes the addresses of an interface out of the hosts file of a container that runs.
pub fn remove_host(endpoint: &EndpointPlan, dir: &Path) -> Result<()> {
    let gone: Vec<String> = addresses(endpoint).collect();
    let is_gone = |line: &str| line.split_whitespace().next().is_some_and(|first| gone.iter().any(|a| a == first));
    let text = read(dir)?;
    let left: String = text.split_inclusive('\n').filter(|line| !is_gone(line)).collect();
    put(dir, "hosts", &left)
}

fn read(dir: &Path) -> Result<String> {
    let path = dir.join("hosts");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// `--add-host` lines; `host-gateway` is the address of the default network's bridge.
fn extra_hosts(record: &Record, host_gateway: Option<Ipv4Addr>) -> Result<String> {
    let mut text = String::new();
    for (name, address) in record.extra_hosts() {
        match (address, host_gateway) {
            ("host-gateway", Some(gateway)) => put_line(&mut text, &gateway.to_string(), name),
            ("host-gateway", None) => {
                let sentence =
                    format!("{name} cannot get the address host-gateway: the default network has no bridge yet");
                return Err(Error::invalid(sentence).with_hint("name the host's address instead of host-gateway"));
            }
            _ => put_line(&mut text, address, name),
        }
    }
    Ok(text)
}

fn put_line(text: &mut String, address: &str, names: &str) {
    // Writing to a string cannot fail.
    let _infallible = writeln!(text, "{address}\t{names}");
}
