//! The rules.

use wharf_api::container::{HostConfig, Resources, RestartPolicyName};
use wharf_types::{Error, Result};

use super::abilities::{Abilities, within};
use super::invalid;
use crate::config::ContainerDefaults;
use crate::container::security::Security;
use crate::container::spec;

/// The least memory that a container may be limited to: less than that no program starts (Docker's rule).
const LEAST_MEMORY: i64 = 6 << 20;

/// What is wrong on any host.
pub fn general(host: &HostConfig) -> Result<()> {
    spec::capabilities_of(host)?;
    Security::of(host)?;
    restart_policy(host)?;
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0");
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return invalid(format!("Invalid value {}, range for oom score adj is [-1000, 1000]", host.oom_score_adj));
    }
    if !matches!(host.isolation.to_ascii_lowercase().as_str(), "" | "default") {
        return invalid(format!("Invalid isolation: {:?} - linux only supports 'default'", host.isolation));
    }
    if let Some(option) = host.storage_opt.keys().find(|key| !key.eq_ignore_ascii_case("size")) {
        return invalid(format!("Unknown option {option}"));
    }
    if !host.storage_opt.is_empty() {
        let text = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        return Err(
            Error::invalid(text).with_hint("limit what is written with a tmpfs of a size, or with quotas of the host")
        );
    }
    hosts(host)?;
    modes(host)
}

fn restart_policy(host: &HostConfig) -> Result<()> {
    let policy = &host.restart_policy;
    if host.auto_remove && !matches!(policy.name, RestartPolicyName::Unset | RestartPolicyName::No) {
        return invalid("can't create 'AutoRemove' container with restart policy");
    }
    if policy.maximum_retry_count < 0 {
        return invalid("invalid restart policy: maximum retry count cannot be negative");
    }
    if policy.maximum_retry_count > 0 && policy.name != RestartPolicyName::OnFailure {
        return invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'");
    }
    Ok(())
}

/// Lines for /etc/hosts: a name and an address.
fn hosts(host: &HostConfig) -> Result<()> {
    for line in &host.extra_hosts {
        let Some((name, address)) = line.split_once([':', '=']).filter(|(name, _)| !name.is_empty()) else {
            return invalid(format!("bad format for add-host: {line:?}"));
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if address != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid IP address in add-host: {address:?}"))
                .with_hint(format!("write {name}:ADDRESS, or {name}:host-gateway for the host")));
        }
    }
    Ok(())
}

/// A mode that nobody knows must not end as the default.
fn modes(host: &HostConfig) -> Result<()> {
    let joins = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    for (what, mode, known) in [
        ("IPC", &host.ipc_mode, &["", "none", "host", "private", "shareable"][..]),
        ("PID", &host.pid_mode, &["", "host"]),
    ] {
        if !known.contains(&mode.as_str()) && !joins(mode) {
            return invalid(format!("invalid {what} mode: {mode}"));
        }
    }
    for (what, mode, known) in [
        ("UTS", &host.uts_mode, &["", "host"][..]),
        ("cgroup namespace", &host.cgroupns_mode, &["", "host", "private"]),
        ("user namespace", &host.userns_mode, &["", "host"]),
    ] {
        if !known.contains(&mode.as_str()) {
            return invalid(format!("invalid {what} mode: {mode}"));
        }
    }
    Ok(())
}

/// Where users are remapped, some of the host's namespaces cannot be had.
pub fn user_namespace(host: &HostConfig, defaults: &ContainerDefaults) -> Result<()> {
    if defaults.users.is_none() || host.userns_mode == "host" {
        return Ok(());
    }
    let hint = "add --userns=host";
    let refused = |text: &str| Err(Error::invalid(text).with_hint(hint));
    match () {
        () if host.privileged => refused(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ),
        () if host.network_mode == "host" => {
            refused("cannot share the host's network namespace when user namespaces are enabled")
        }
        () if host.pid_mode == "host" => {
            refused("cannot share the host PID namespace when user namespaces are enabled")
        }
        () if host.ipc_mode == "host" => {
            refused("cannot share the host IPC namespace when user namespaces are enabled")
        }
        () => Ok(()),
    }
}

/// Names of runtimes that mean the engine's own.
pub const OWN_RUNTIMES: [&str; 4] = ["", "wharf", "runc", "io.containerd.runc.v2"];

/// The runtime must be known.
pub fn runtime(host: &HostConfig, _defaults: &ContainerDefaults) -> Result<()> {
    if OWN_RUNTIMES.contains(&host.runtime.as_str()) {
        return Ok(());
    }
    invalid(format!("unknown or invalid runtime name: {}", host.runtime))
}

/// Limits: refused where they make no sense, taken away with a warning where this host has no such limit.
pub fn resources(wanted: &mut Resources, able: &Abilities, warnings: &mut Vec<String>, update: bool) -> Result<()> {
    memory(wanted, able, warnings, update)?;
    out_of_memory(wanted, able, warnings);
    processors(wanted, able)?;
    block_io(wanted, able, warnings)?;
    if wanted.pids_limit.is_some_and(|limit| limit > 0) && !able.pids {
        warnings.push(missing("pids limit", "PIDs limit"));
        wanted.pids_limit = None;
    }
    if wanted.cpu_percent != 0 {
        warnings.push("linux does not support CPU percent. Percent discarded.".into());
        wanted.cpu_percent = 0;
    }
    match () {
        () if wanted.io_maximum_bandwidth != 0 => {
            invalid("Invalid QoS settings: linux does not support configuration of maximum bandwidth")
        }
        () if wanted.io_maximum_iops != 0 => {
            invalid("Invalid QoS settings: linux does not support configuration of maximum IOPs")
        }
        () => Ok(()),
    }
}

fn missing(capability: &str, what: &str) -> String {
    format!("Your kernel does not support {capability} capabilities or the cgroup is not mounted. {what} discarded.")
}

fn memory(wanted: &mut Resources, able: &Abilities, warnings: &mut Vec<String>, update: bool) -> Result<()> {
    if wanted.memory > 0 && wanted.memory_swap != -1 && !able.swap {
        let text = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
        warnings.push(text.into());
        wanted.memory_swap = -1;
    }
    let (memory, swap, soft) = (wanted.memory, wanted.memory_swap, wanted.memory_reservation);
    match () {
        () if memory != 0 && memory < LEAST_MEMORY => invalid("Minimum memory limit allowed is 6MB"),
        () if memory > 0 && swap > 0 && swap < memory => {
            invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
        }
        () if memory == 0 && swap > 0 && !update => {
            invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
        }
        () if soft != 0 && soft < LEAST_MEMORY => invalid("Minimum memory reservation allowed is 6MB"),
        () if memory > 0 && soft > memory => {
            invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
        }
        () => Ok(()),
    }?;
    match wanted.memory_swappiness {
        Some(-1) => wanted.memory_swappiness = None,
        Some(_) if !able.swappiness => {
            warnings.push(missing("memory swappiness", "Memory swappiness"));
            wanted.memory_swappiness = None;
        }
        Some(value) if !(0..=100).contains(&value) => {
            return invalid(format!("Invalid value: {value}, valid memory swappiness range is 0-100"));
        }
        _ => {}
    }
    if wanted.kernel_memory > 0 {
        if wanted.kernel_memory < LEAST_MEMORY {
            return invalid("Minimum kernel memory limit allowed is 6MB");
        }
        let text = "Specifying a kernel memory limit is deprecated and will be removed in a future release.";
        warnings.push(text.into());
    }
    Ok(())
}

fn out_of_memory(wanted: &mut Resources, able: &Abilities, warnings: &mut Vec<String>) {
    if !able.no_oom_kill {
        if wanted.oom_kill_disable == Some(true) {
            warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".into());
        }
        wanted.oom_kill_disable = None;
    }
    if wanted.oom_kill_disable == Some(true) && wanted.memory == 0 {
        let text = "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.";
        warnings.push(text.into());
    }
}

fn processors(wanted: &Resources, able: &Abilities) -> Result<()> {
    let available = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let (period, runtime) = (wanted.cpu_realtime_period, wanted.cpu_realtime_runtime);
    match () {
        () if wanted.nano_cpus > 0 && wanted.cpu_period > 0 => {
            invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        }
        () if wanted.nano_cpus > 0 && wanted.cpu_quota > 0 => {
            invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        }
        () if wanted.nano_cpus < 0 || wanted.nano_cpus as u64 > available * 1_000_000_000 => invalid(format!(
            "range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
        )),
        () if (period != 0 || runtime != 0) && !able.realtime => {
            invalid("kernel does not support CPU real-time scheduler")
        }
        () if period != 0 && runtime > period => {
            invalid("cpu real-time runtime cannot be higher than cpu real-time period")
        }
        () if wanted.cpu_period != 0 && !(1_000..=1_000_000).contains(&wanted.cpu_period) => {
            invalid("CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
        }
        () if wanted.cpu_quota > 0 && wanted.cpu_quota < 1_000 => {
            invalid("CPU cfs quota cannot be less than 1ms (i.e. 1000)")
        }
        () => Ok(()),
    }?;
    cpuset(&wanted.cpuset_cpus, &able.processors, "cpus", "CPUs")?;
    cpuset(&wanted.cpuset_mems, &able.nodes, "mems", "memory nodes")
}

fn cpuset(wanted: &str, available: &str, file: &str, what: &str) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    match within(wanted, available) {
        None => invalid(format!("Invalid value {wanted} for cpuset {file}: invalid format: {wanted}")),
        Some(false) if !available.is_empty() => {
            invalid(format!("Requested {what} are not available - requested {wanted}, available: {available}"))
        }
        Some(_) => Ok(()),
    }
}

fn block_io(wanted: &mut Resources, able: &Abilities, warnings: &mut Vec<String>) -> Result<()> {
    let gone = |what: &str, short: &str| {
        format!("Your kernel does not support {what} or the cgroup is not mounted. {short} discarded.")
    };
    if wanted.blkio_weight > 0 && !able.weight {
        warnings.push(gone("Block I/O weight", "Weight"));
        wanted.blkio_weight = 0;
    }
    if wanted.blkio_weight > 0 && !(10..=1000).contains(&wanted.blkio_weight) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    if !wanted.blkio_weight_device.is_empty() && !able.weight_device {
        warnings.push(gone("Block I/O weight_device", "Weight-device"));
        wanted.blkio_weight_device = wharf_api::List::empty();
    }
    if let Some(device) = wanted.blkio_weight_device.iter().find(|device| !(10..=1000).contains(&device.weight)) {
        return invalid(format!("Range of blkio weight is from 10 to 1000: {} has {}", device.path, device.weight));
    }
    if able.throttle {
        return Ok(());
    }
    for (list, what, short) in [
        (&mut wanted.blkio_device_read_bps, "BPS Block I/O read limit", "Block I/O BPS read limit"),
        (&mut wanted.blkio_device_write_bps, "BPS Block I/O write limit", "Block I/O BPS write limit"),
        (&mut wanted.blkio_device_read_iops, "IOPS Block read limit", "Block I/O IOPS read limit"),
        (&mut wanted.blkio_device_write_iops, "IOPS Block write limit", "Block I/O IOPS write limit"),
    ] {
        if !list.is_empty() {
            warnings.push(gone(what, short));
            *list = wharf_api::List::empty();
        }
    }
    Ok(())
}

/// Kernel parameters that belong to the IPC namespace (ipc_namespaces(7)).
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// A parameter that is not the container's own would change the host's, or that of another container.
///
/// # Errors
/// `InvalidParameter`, in the words of runc.
pub fn sysctls(host: &HostConfig) -> Result<()> {
    let joined = |mode: &str| mode == "host" || mode.starts_with("container:");
    for name in host.sysctls.keys() {
        let dotted = name.replace('/', ".");
        match dotted.as_str() {
            own if OF_IPC.contains(&own) || own.starts_with("fs.mqueue.") => {
                if joined(&host.ipc_mode) {
                    return invalid(format!("sysctl {name:?} is not allowed in the hosts ipc namespace"));
                }
            }
            own if own.starts_with("net.") => {
                if joined(&host.network_mode) {
                    return invalid(format!("sysctl {name:?} not allowed in host network namespace"));
                }
            }
            "kernel.domainname" if host.uts_mode != "host" => {}
            "kernel.domainname" => {
                return invalid(format!("sysctl {name:?} is not allowed in the hosts uts namespace"));
            }
            "kernel.hostname" => {
                return Err(Error::invalid(format!("sysctl {name:?} is not allowed: it conflicts with the host name"))
                    .with_hint("use --hostname"));
            }
            _ => return invalid(format!("sysctl {name:?} is not in a separate kernel namespace")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_nobody_knows_are_refused() {
        let with = |ipc: &str, pid: &str, uts: &str| {
            let (ipc_mode, pid_mode, uts_mode) = (ipc.into(), pid.into(), uts.into());
            modes(&HostConfig { ipc_mode, pid_mode, uts_mode, ..HostConfig::default() })
        };
        for (ipc, pid, uts) in
            [("", "", ""), ("host", "host", "host"), ("shareable", "container:a", ""), ("none", "", "")]
        {
            assert!(with(ipc, pid, uts).is_ok(), "{ipc} {pid} {uts}");
        }
        for (ipc, pid, uts) in [("bogus", "", ""), ("", "private", ""), ("", "", "container:a"), ("container:", "", "")]
        {
            assert!(with(ipc, pid, uts).is_err(), "{ipc} {pid} {uts}");
        }
    }

    #[test]
    fn only_parameters_of_own_namespaces_are_set() {
        let with = |name: &str, ipc: &str, network: &str| {
            let sysctls = [(name.to_owned(), "1".to_owned())].into();
            super::sysctls(&HostConfig {
                sysctls,
                ipc_mode: ipc.into(),
                network_mode: network.into(),
                ..Default::default()
            })
        };
        assert!(with("kernel.shmmax", "", "bridge").is_ok() && with("net/ipv4/ip_forward", "", "none").is_ok());
        for (name, ipc, network) in [
            ("kernel.panic", "", "bridge"),
            ("kernel.shmmax", "host", "bridge"),
            ("fs.mqueue.msg_max", "container:a", "bridge"),
            ("net.core.somaxconn", "", "host"),
            ("kernel.hostname", "", "bridge"),
        ] {
            assert!(with(name, ipc, network).is_err(), "{name}");
        }
    }

    #[test]
    fn what_the_host_cannot_limit_is_taken_away_and_told() {
        let mut wanted = Resources {
            blkio_weight: 300,
            memory: 64 << 20,
            memory_swappiness: Some(10),
            oom_kill_disable: Some(true),
            ..Resources::default()
        };
        let mut warnings = Vec::new();
        resources(&mut wanted, &Abilities::default(), &mut warnings, false).unwrap();
        assert_eq!((wanted.blkio_weight, wanted.memory_swappiness, wanted.memory_swap), (0, None, -1));
        assert_eq!(wanted.oom_kill_disable, None);
        assert_eq!(warnings.len(), 4, "{warnings:?}");
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused() {
        let able = Abilities { swap: true, realtime: true, processors: "0".into(), ..Abilities::default() };
        let refused = |mut wanted: Resources| resources(&mut wanted, &able, &mut Vec::new(), false).is_err();
        let default = Resources::default;
        assert!(refused(Resources { memory: 1 << 20, ..default() }));
        assert!(refused(Resources { memory: 64 << 20, memory_swap: 32 << 20, ..default() }));
        assert!(refused(Resources { memory_swap: 64 << 20, ..default() }));
        assert!(refused(Resources { cpuset_cpus: "1".into(), ..default() }));
        assert!(refused(Resources { cpu_realtime_period: 1000, cpu_realtime_runtime: 2000, ..default() }));
        assert!(refused(Resources { io_maximum_iops: 1, ..default() }));
        assert!(!refused(Resources { memory: 64 << 20, cpuset_cpus: "0".into(), ..default() }));
    }
}
