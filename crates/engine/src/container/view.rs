//! What people see of containers: lists and inspections.

use std::net::IpAddr;

use wharf_api::container::{
    GraphDriver, HealthStatus, Inspect, MountPoint, NetworkSettings, PortSummary, State as ApiState, Status, Summary,
    SummaryHealth, SummaryHostConfig, SummaryNetworkSettings,
};
use wharf_api::filters::Filters;
use wharf_api::network::EndpointSettings;
use wharf_api::port::{Port, PortBinding, PortMap, Protocol as ApiProtocol};
use wharf_api::{List, Map};
use wharf_network::plan::{EndpointPlan, PortPlan, Protocol, SandboxPlan};
use wharf_types::{Error, Id, Result};

use super::directory::Entry;
use super::record::{MountRecord, Record};
use super::snapshot::Snapshot;
use super::state::{Exited, State};
use super::{Containers, health, logging, networking};
use crate::time;

/// Filters of the list (Docker's names).
const FILTERS: [&str; 17] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "until",
];

/// What a list contains.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Those that do not run, too.
    pub all: bool,
    /// Only this many, the newest first; implies `all`.
    pub limit: Option<usize>,
    /// With the sizes of what they wrote.
    pub size: bool,
    /// Only these.
    pub filters: Filters,
}

impl Containers {
    /// The containers, newest first.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<Summary>> {
        options.filters.check_names(&FILTERS)?;
        let chosen = self.choose(&options)?;
        let mut summaries = Vec::with_capacity(chosen.len());
        for snapshot in chosen {
            let mut summary = self.summary(&snapshot);
            if options.size {
                summary.size_rw = Some(self.size_of(&snapshot.record).await?);
                summary.size_root_fs = Some(summary.size_rw.unwrap_or(0) + self.image_size(&snapshot.record));
            }
            summaries.push(summary);
        }
        if options.all && options.filters.is_empty() {
            summaries.extend(self.directory.all_damaged().into_iter().map(damaged));
        }
        Ok(summaries)
    }

    /// Everything about one container.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<Inspect> {
        let entry = self.directory.find(name)?;
        let snapshot = entry.now();
        let record = &snapshot.record;
        let size_rw = if size { Some(self.size_of(record).await?) } else { None };
        let dir = self.services.config.container_dir(record.id);
        let file = |name: &str| dir.join(name).display().to_string();
        let argv = record.argv();
        let log_path = match record.log_driver() {
            "json-file" => logging::readable(&self.services, record).unwrap_or_default().display().to_string(),
            _ => String::new(),
        };
        Ok(Inspect {
            id: record.id.to_string(),
            created: record.created.clone(),
            path: argv.first().cloned().unwrap_or_default(),
            args: argv.into_iter().skip(1).collect(),
            state: Some(state(&snapshot)),
            image: record.image.to_string(),
            image_manifest_descriptor: self.services.images.manifest_of(&record.image),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path,
            name: format!("/{}", record.name),
            restart_count: snapshot.restarts.into(),
            driver: "overlay2".into(),
            platform: "linux".into(),
            exec_ids: exec_ids(self.execs.of(record.id)),
            host_config: Some(record.host_config.clone()),
            graph_driver: Some(self.graph_driver(record)),
            size_rw,
            size_root_fs: size_rw.map(|own| own + self.image_size(record)),
            mounts: record.mounts.iter().map(mount_point).collect(),
            config: Some(config(record)),
            network_settings: Some(self.network_settings(&snapshot)),
            ..Inspect::default()
        })
    }

    fn choose(&self, options: &ListOptions) -> Result<Vec<Snapshot>> {
        let filters = &options.filters;
        let all = options.all || options.limit.is_some() || filters.contains("status") || filters.contains("exited");
        let reference = |name: &str| -> Result<Option<String>> {
            filters
                .values(name)
                .next()
                .map(|other| Ok(self.directory.find(other)?.now().record.created.clone()))
                .transpose()
        };
        let (before, since) = (reference("before")?, reference("since")?);
        let ancestors = self.ancestors(filters);
        let mut chosen: Vec<Snapshot> = self.directory.all().iter().map(Entry::now).collect();
        chosen.retain(|snapshot| {
            let record = &snapshot.record;
            (all || snapshot.state.running().is_some() || snapshot.state.is_restarting())
                && before.as_ref().is_none_or(|limit| record.created < *limit)
                && since.as_ref().is_none_or(|limit| record.created > *limit)
                && ancestors.as_ref().is_none_or(|images| images.contains(&record.image))
                && matches(snapshot, filters)
        });
        chosen.sort_by(|a, b| b.record.created.cmp(&a.record.created));
        chosen.truncate(options.limit.unwrap_or(usize::MAX));
        Ok(chosen)
    }

    fn ancestors(&self, filters: &Filters) -> Option<Vec<wharf_types::Digest>> {
        let images = self.services.images.store();
        let found = |name: &str| images.resolve(name).ok().map(|image| image.id);
        filters.contains("ancestor").then(|| filters.values("ancestor").filter_map(found).collect())
    }

    fn summary(&self, snapshot: &Snapshot) -> Summary {
        let record = &snapshot.record;
        Summary {
            id: record.id.to_string(),
            names: vec![format!("/{}", record.name)],
            image: self.image_name(record),
            image_id: record.image.to_string(),
            image_manifest_descriptor: self.services.images.manifest_of(&record.image),
            command: command(record),
            created: time::unix(&record.created),
            ports: ports(snapshot),
            labels: record.config.labels.clone().into_inner(),
            state: status(&snapshot.state),
            status: phrase(snapshot),
            health: Some(summary_health(snapshot)),
            host_config: SummaryHostConfig {
                network_mode: record.host_config.network_mode.clone(),
                annotations: record.host_config.annotations.clone(),
            },
            network_settings: Some(SummaryNetworkSettings { networks: self.endpoints(snapshot) }),
            mounts: record.mounts.iter().map(mount_point).collect(),
            ..Summary::default()
        }
    }

    /// The name it was created from, unless that name has moved on to another image.
    fn image_name(&self, record: &Record) -> String {
        let name = &record.config.image;
        match self.services.images.store().resolve(name) {
            Ok(image) if image.id == record.image => name.clone(),
            _ => record.image.to_string(),
        }
    }

    async fn size_of(&self, record: &Record) -> Result<i64> {
        Ok(i64::try_from(self.written_by(record.id).await?).unwrap_or(i64::MAX))
    }

    fn image_size(&self, record: &Record) -> i64 {
        let image = self.services.images.store().get(&record.image);
        image.map_or(0, |image| i64::try_from(image.size).unwrap_or(i64::MAX))
    }

    fn graph_driver(&self, record: &Record) -> GraphDriver {
        let snapshot = self.services.images.snapshots().get(&record.id);
        let lower: Vec<String> = record.layers.iter().map(|layer| layer.display().to_string()).collect();
        let data = [
            ("LowerDir", lower.join(":")),
            ("MergedDir", snapshot.dir.join("merged").display().to_string()),
            ("UpperDir", snapshot.upper.display().to_string()),
            ("WorkDir", snapshot.work.display().to_string()),
        ];
        GraphDriver {
            name: "overlay2".into(),
            data: data.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
        }
    }

    fn network_settings(&self, snapshot: &Snapshot) -> NetworkSettings {
        let running = snapshot.state.running();
        let mut settings = NetworkSettings {
            sandbox_id: snapshot.record.id.to_string(),
            sandbox_key: running.map_or_else(String::new, |running| format!("/proc/{}/ns/net", running.pid)),
            ports: port_map(snapshot),
            networks: self.endpoints(snapshot),
            ..NetworkSettings::default()
        };
        settings.add_legacy();
        settings
    }

    /// The container's endpoints by network name; addresses only while it runs.
    fn endpoints(&self, snapshot: &Snapshot) -> Map<String, EndpointSettings> {
        let record = &snapshot.record;
        let given = snapshot.state.sandbox().map(SandboxPlan::endpoints).unwrap_or_default();
        let mut all = Map::empty();
        for (name, asked) in record.networks() {
            let mut settings = asked.cloned().unwrap_or_default();
            let network = self.services.networks.find(name).ok();
            if let Some(network) = &network {
                settings.network_id = network.id.to_string();
                if !network.is_predefined() {
                    settings.dns_names = networking::dns_names(record, &settings).into();
                }
            }
            let own = given.iter().find(|endpoint| endpoint.network == settings.network_id);
            // A plan of an engine that knew one network names none.
            if let Some(endpoint) = own.or_else(|| given.first().filter(|endpoint| endpoint.network.is_empty())) {
                fill_endpoint(&mut settings, endpoint);
                // That of an internal network is shown and leads nowhere.
                if let Some(gateway) = network.filter(|network| network.internal).and_then(|n| n.gateway4()) {
                    settings.gateway = gateway.to_string();
                }
            }
            all.insert(name.to_owned(), settings);
        }
        all
    }
}

/// A container whose row cannot be read: dead, with the reason.
fn damaged((id, name, reason): (Id, String, String)) -> Summary {
    Summary {
        id: id.to_string(),
        names: vec![format!("/{name}")],
        state: Status::Dead,
        status: format!("Dead ({reason})"),
        ..Summary::default()
    }
}

fn fill_endpoint(settings: &mut EndpointSettings, endpoint: &EndpointPlan) {
    settings.endpoint_id.clone_from(&endpoint.id);
    settings.mac_address = endpoint.mac.map(|byte| format!("{byte:02x}")).join(":");
    if let Some((address, prefix)) = endpoint.ipv4 {
        (settings.ip_address, settings.ip_prefix_len) = (address.to_string(), prefix.into());
    }
    if let Some((address, prefix)) = endpoint.ipv6 {
        (settings.global_ipv6_address, settings.global_ipv6_prefix_len) = (address.to_string(), prefix.into());
    }
    settings.gateway = endpoint.gateway4.map_or_else(String::new, |gateway| gateway.to_string());
    settings.ipv6_gateway = endpoint.gateway6.map_or_else(String::new, |gateway| gateway.to_string());
}

/// The configuration as it is shown: with the host name that the container has.
fn config(record: &Record) -> wharf_api::container::Config {
    wharf_api::container::Config { hostname: record.hostname(), ..record.config.clone() }
}

fn exec_ids(ids: Vec<String>) -> List<String> {
    if ids.is_empty() { List::null() } else { ids.into() }
}

fn state(snapshot: &Snapshot) -> ApiState {
    let never = || time::NEVER.to_owned();
    let word = status(&snapshot.state);
    let health = health::inspected(snapshot);
    let mut shown = ApiState { status: word, started_at: never(), finished_at: never(), health, ..ApiState::default() };
    match &snapshot.state {
        State::Running(running) => {
            (shown.running, shown.paused, shown.pid) = (true, running.paused, running.pid.into());
            shown.started_at.clone_from(&running.started_at);
            shown.error = snapshot.stuck.as_deref().unwrap_or_default().to_owned();
        }
        State::Exited(exited) | State::Dead(exited) => {
            shown.dead = matches!(snapshot.state, State::Dead(_));
            // Docker counts the time between two runs as running.
            (shown.restarting, shown.running) = (exited.again, exited.again);
            (shown.exit_code, shown.oom_killed) = (exited.exit_code.into(), exited.oom_killed);
            shown.error = exited.error.clone().unwrap_or_default();
            shown.started_at = exited.started_at.clone().unwrap_or_else(never);
            shown.finished_at = exited.finished_at.clone().unwrap_or_else(never);
        }
        _ => {}
    }
    shown
}

fn status(state: &State) -> Status {
    match state {
        State::Created | State::Starting { .. } => Status::Created,
        State::Running(running) if running.paused => Status::Paused,
        State::Running(_) => Status::Running,
        State::Exited(Exited { again: true, .. }) => Status::Restarting,
        State::Exited(_) => Status::Exited,
        State::Dead(_) => Status::Dead,
        State::Removed { .. } => Status::Removing,
    }
}

fn summary_health(snapshot: &Snapshot) -> SummaryHealth {
    let failing_streak = snapshot.health.as_ref().map_or(0, |health| health.failing_streak.into());
    SummaryHealth { status: health::status(snapshot), failing_streak }
}

/// For people: `Up 5 minutes`, `Exited (0) 2 hours ago`.
fn phrase(snapshot: &Snapshot) -> String {
    let now = time::now();
    let since = |then: &str| time::between(then, &now).map_or_else(|_| String::new(), time::in_words);
    match &snapshot.state {
        State::Running(running) if running.paused => format!("Up {} (Paused)", since(&running.started_at)),
        State::Running(running) => format!("Up {}{}", since(&running.started_at), health::phrase(snapshot)),
        State::Exited(Exited { again: true, exit_code, finished_at, .. }) => {
            format!("Restarting ({exit_code}) {} ago", since(finished_at.as_deref().unwrap_or(&now)))
        }
        State::Exited(Exited { exit_code, finished_at: Some(then), .. }) => {
            format!("Exited ({exit_code}) {} ago", since(then))
        }
        State::Dead(_) => "Dead".into(),
        State::Removed { .. } => "Removal In Progress".into(),
        State::Created | State::Starting { .. } | State::Exited(_) => "Created".into(),
    }
}

/// The command line as a shell would show it.
fn command(record: &Record) -> String {
    let quote = |word: String| if word.contains(char::is_whitespace) { format!("'{word}'") } else { word };
    record.argv().into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn mount_point(mount: &MountRecord) -> MountPoint {
    let is_volume = mount.volume.is_some();
    MountPoint {
        kind: Some(mount.kind),
        name: mount.volume.clone().unwrap_or_default(),
        source: mount.source.display().to_string(),
        destination: mount.destination.clone(),
        driver: match mount.driver.as_str() {
            "" if is_volume => "local".into(),
            driver => driver.to_owned(),
        },
        mode: mount.mode.clone(),
        rw: mount.writable,
        propagation: match (mount.kind, mount.propagation.as_str()) {
            (wharf_api::container::MountType::Bind, "") => "rprivate".into(),
            (_, word) => word.to_owned(),
        },
    }
}

fn published(snapshot: &Snapshot) -> &[PortPlan] {
    match snapshot.state.sandbox() {
        Some(SandboxPlan::Own { ports, .. }) => ports,
        _ => &[],
    }
}

fn port_of(plan: &PortPlan) -> Port {
    let protocol = match plan.protocol {
        Protocol::Tcp => ApiProtocol::Tcp,
        Protocol::Udp => ApiProtocol::Udp,
        Protocol::Sctp => ApiProtocol::Sctp,
    };
    Port { number: plan.container_port, protocol }
}

fn port_map(snapshot: &Snapshot) -> PortMap {
    let mut map = PortMap::empty();
    if snapshot.state.running().is_none() {
        return map;
    }
    for port in snapshot.record.config.exposed_ports.keys() {
        map.entry(*port).or_insert_with(List::null);
    }
    for plan in published(snapshot) {
        let binding = PortBinding { host_ip: plan.host_ip.to_string(), host_port: plan.host_port.to_string() };
        map.entry(port_of(plan)).or_insert_with(List::null).push(binding);
    }
    map
}

fn ports(snapshot: &Snapshot) -> Vec<PortSummary> {
    if snapshot.state.running().is_none() {
        return Vec::new();
    }
    let published = published(snapshot);
    let mut all: Vec<PortSummary> = published.iter().map(port_summary).collect();
    let bare =
        snapshot.record.config.exposed_ports.keys().filter(|port| !published.iter().any(|p| port_of(p) == **port));
    all.extend(bare.map(|port| PortSummary {
        private_port: port.number,
        protocol: port.protocol,
        ..PortSummary::default()
    }));
    all
}

fn port_summary(plan: &PortPlan) -> PortSummary {
    let ip: IpAddr = plan.host_ip;
    PortSummary {
        ip: Some(ip.to_string()),
        private_port: plan.container_port,
        public_port: Some(plan.host_port),
        protocol: port_of(plan).protocol,
    }
}

fn matches(snapshot: &Snapshot, filters: &Filters) -> bool {
    let record = &snapshot.record;
    let exit_code = snapshot.state.exited().map(|exited| exited.exit_code.to_string());
    let has_network = |wanted: &str| {
        let is_wanted = |name: &str, id: Option<&str>| name == wanted || id.is_some_and(|id| id == wanted);
        record.networks().any(|(name, own)| is_wanted(name, own.map(|own| own.network_id.as_str())))
    };
    let has_volume = |wanted: &str| {
        record.mounts.iter().any(|mount| mount.volume.as_deref() == Some(wanted) || mount.destination == wanted)
    };
    let has_port = |wanted: &str, ports: Vec<Port>| {
        let (range, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
        ports.iter().any(|port| (first..=last).contains(&port.number) && port.protocol.as_str() == protocol)
    };
    filters.any("id", |prefix| record.id.to_string().starts_with(prefix))
        && filters.any("name", |part| name_matches(&record.name, part))
        && filters.any("status", |word| status(&snapshot.state).as_str() == word)
        && filters.any("exited", |code| exit_code.as_deref() == Some(code))
        && filters.any("network", has_network)
        && filters.any("volume", has_volume)
        && filters.any("publish", |wanted| has_port(wanted, record.host_config.port_bindings.keys().copied().collect()))
        && filters.any("expose", |wanted| has_port(wanted, record.config.exposed_ports.keys().copied().collect()))
        && filters.any("health", |word| serde_word(health::status(snapshot)) == word)
        && filters.any("is-task", |word| word == "false")
        && filters.any("isolation", |word| word == "default")
        && filters.match_labels(&record.config.labels)
}

fn serde_word(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
        HealthStatus::None | HealthStatus::Unknown => "none",
    }
}

/// Docker takes the filter for a regular expression; anchors are what people use of it.
fn name_matches(name: &str, wanted: &str) -> bool {
    let inner = wanted.trim_start_matches('^').trim_start_matches('/').trim_end_matches('$');
    match (wanted.starts_with('^'), wanted.ends_with('$')) {
        (true, true) => name == inner,
        (true, false) => name.starts_with(inner),
        (false, true) => name.ends_with(inner),
        (false, false) => name.contains(inner),
    }
}

/// A point in time for filters: seconds since 1970, RFC 3339, or a duration before now such as `24h`.
///
/// # Errors
/// `InvalidParameter`.
pub fn parse_until(text: &str) -> Result<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(seconds as i64);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_second());
    }
    let duration: jiff::SignedDuration = text.parse().map_err(|_| {
        Error::invalid(format!("failed to parse value as time or duration: {text:?}")).with_hint("write it as 24h")
    })?;
    Ok(jiff::Timestamp::now().as_second() - duration.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_with_anchors() {
        assert!(name_matches("web", "^/web$") && name_matches("web", "we") && name_matches("web", "^web"));
        assert!(!name_matches("web1", "^web$") && !name_matches("aweb", "^web"));
    }

    #[test]
    fn points_in_time_are_read() {
        assert_eq!(parse_until("100").unwrap(), 100);
        assert_eq!(parse_until("1970-01-01T00:01:00Z").unwrap(), 60);
        assert!((parse_until("1h").unwrap() - (jiff::Timestamp::now().as_second() - 3600)).abs() <= 1);
        assert!(parse_until("yesterday").is_err());
    }
}
