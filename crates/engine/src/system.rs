//! The engine and its host: version, info.

use std::collections::BTreeMap;

use wharf_api::system::{Component, IndexConfig, Info, PlatformName, Plugins, RegistryConfig, Runtime, Swarm, Version};
use wharf_api::{ApiVersion, List};
use wharf_registry::client::Settings;
use wharf_types::{Platform, Result, ResultExt};

use crate::engine::Engine;

/// The version of Docker whose behaviour this engine keeps to; tools compare it.
const DOCKER_VERSION: &str = "28.2.2";

impl Engine {
    /// `GET /version`.
    pub fn version(&self) -> Version {
        let host = Platform::host();
        let details = BTreeMap::from([
            ("ApiVersion".to_owned(), ApiVersion::MAX.to_string()),
            ("MinAPIVersion".to_owned(), ApiVersion::MIN.to_string()),
            ("Os".to_owned(), host.os.clone()),
            ("Arch".to_owned(), host.architecture.clone()),
            ("KernelVersion".to_owned(), kernel_version()),
            ("GitCommit".to_owned(), "none".to_owned()),
            ("GoVersion".to_owned(), "none (rust)".to_owned()),
            ("Experimental".to_owned(), "false".to_owned()),
        ]);
        let own = Component { name: "Engine".into(), version: DOCKER_VERSION.into(), details };
        let wharf =
            Component { name: "wharf".into(), version: env!("CARGO_PKG_VERSION").into(), ..Component::default() };
        Version {
            platform: PlatformName { name: format!("Wharf Engine {}", env!("CARGO_PKG_VERSION")) },
            components: vec![own, wharf],
            version: DOCKER_VERSION.into(),
            api_version: ApiVersion::MAX.to_string(),
            min_api_version: ApiVersion::MIN.to_string(),
            git_commit: "none".into(),
            go_version: "none (rust)".into(),
            os: host.os,
            arch: host.architecture,
            kernel_version: kernel_version(),
            ..Version::default()
        }
    }

    /// `GET /info`.
    pub fn info(&self) -> Info {
        let counts = self.containers().count();
        let count = |word: &str| i64::try_from(counts.get(word).copied().unwrap_or(0)).unwrap_or(0);
        let total = i64::try_from(counts.values().sum::<usize>()).unwrap_or(0);
        let (running, paused) = (count("running"), count("paused"));
        Info {
            id: self.id().to_owned(),
            containers: total,
            containers_running: running,
            containers_paused: paused,
            containers_stopped: total - running - paused,
            images: i64::try_from(self.images().store().list().len()).unwrap_or(0),
            driver: "overlay2".into(),
            driver_status: vec![
                ["Backing Filesystem".into(), "native".into()],
                ["Supports d_type".into(), "true".into()],
            ],
            docker_root_dir: self.config().root.display().to_string(),
            plugins: Plugins {
                volume: list(&["local"]),
                network: list(&["bridge", "host", "null"]),
                log: list(&["json-file", "none"]),
                ..Plugins::default()
            },
            memory_limit: true,
            swap_limit: true,
            cpu_cfs_period: true,
            cpu_cfs_quota: true,
            cpu_shares: true,
            cpu_set: true,
            pids_limit: true,
            oom_kill_disable: cgroup_version() == "1",
            ipv4_forwarding: read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
            n_fd: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as i64),
            system_time: crate::time::now(),
            logging_driver: match self.config().daemon.log_driver.as_str() {
                "" => "json-file".into(),
                driver => driver.to_owned(),
            },
            cgroup_driver: "cgroupfs".into(),
            cgroup_version: cgroup_version().into(),
            kernel_version: kernel_version(),
            operating_system: os_release("PRETTY_NAME"),
            os_version: os_release("VERSION_ID"),
            os_type: "linux".into(),
            architecture: std::env::consts::ARCH.into(),
            index_server_address: "https://index.docker.io/v1/".into(),
            registry_config: Some(registries(&self.images().registries())),
            http_proxy: without_secret(self.images().registries().proxies.http.as_deref()),
            https_proxy: without_secret(self.images().registries().proxies.https.as_deref()),
            no_proxy: self.images().registries().proxies.except.unwrap_or_default(),
            ncpu: std::thread::available_parallelism().map_or(1, |n| n.get() as i64),
            mem_total: memory_total().map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            server_version: DOCKER_VERSION.into(),
            runtimes: BTreeMap::from([("wharf".to_owned(), Runtime { path: "wharf".into(), ..Runtime::default() })]),
            default_runtime: "wharf".into(),
            swarm: Swarm { local_node_state: "inactive".into(), ..Swarm::default() },
            live_restore_enabled: true,
            labels: self.settings().labels,
            debug: self.settings().debug,
            init_binary: "wharf".into(),
            security_options: self.security_options(),
            ..Info::default()
        }
    }
}

impl Engine {
    fn security_options(&self) -> Vec<String> {
        let remapped = self.config().containers.users.is_some();
        let all = [
            ("name=apparmor", wharf_runtime::has_apparmor()),
            ("name=seccomp,profile=builtin", true),
            ("name=selinux", wharf_runtime::has_selinux()),
            ("name=userns", remapped),
            ("name=cgroupns", true),
        ];
        all.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect()
    }
}

/// Memory of the host in bytes.
pub(crate) fn memory_total() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")).and_then(|rest| rest.split_whitespace().next());
    Ok(kib.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024)
}

fn cgroup_version() -> &'static str {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "2" } else { "1" }
}

fn kernel_version() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn os_release(key: &str) -> String {
    let text = read("/etc/os-release");
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or("linux").trim_matches('"').to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn list(words: &[&str]) -> List<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Bytes on disk of all below a folder, as `du` counts them; the folder itself, and what cannot be read, count nothing.
pub fn disk_below(folder: &std::path::Path) -> u64 {
    let Ok(fd) = std::fs::File::open(folder) else { return 0 };
    let own = rustix::fs::fstat(&fd).map_or(0, |stat| stat.st_blocks.unsigned_abs() * 512);
    let usage = wharf_storage::Usage::of(std::os::fd::AsFd::as_fd(&fd));
    usage.map_or(0, |usage| usage.disk.saturating_sub(own))
}

/// What is set about registries, as Docker shows it.
fn registries(settings: &Settings) -> RegistryConfig {
    let is_of_hub = |mirror: &&wharf_registry::client::Mirror| mirror.of == wharf_types::DEFAULT_DOMAIN;
    let mirrors: Vec<String> = settings.mirrors.iter().filter(is_of_hub).map(|mirror| mirror.url.clone()).collect();
    let index = |name: &str, mirrors: Vec<String>, secure: bool, official: bool| {
        (name.to_owned(), IndexConfig { name: name.to_owned(), mirrors, secure, official })
    };
    let (ranges, hosts): (Vec<_>, Vec<_>) = settings.insecure.iter().partition(|entry| entry.contains('/'));
    let hub = index(wharf_types::DEFAULT_DOMAIN, mirrors.clone(), true, true);
    let insecure = hosts.into_iter().map(|host| index(host, Vec::new(), false, false));
    let always = ["::1/128", "127.0.0.0/8"].map(str::to_owned).into_iter();
    RegistryConfig {
        insecure_registry_cidrs: always.chain(ranges.into_iter().cloned()).collect(),
        index_configs: std::iter::once(hub).chain(insecure).collect(),
        mirrors: mirrors.into_iter().collect(),
    }
}

/// A proxy's address; who may use it is nobody's business.
fn without_secret(url: Option<&str>) -> String {
    let url = url.unwrap_or_default();
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => url.to_owned(),
    }
}
