//! The part of the request that ties the container to its host.

use std::collections::BTreeMap;

use wharf_api::List;
use wharf_api::container::{DeviceRequest, HostConfig, LogConfig, Resources, RestartPolicyName};
use wharf_api::port::{Port, PortBinding, PortMap};

use super::flags::ContainerFlags;
use super::request::{list, pair};
use crate::grammar::volume::Volume;
use crate::grammar::{device, host, security};

/// Builds it from the flags and what was read of them already.
pub fn build(
    flags: &ContainerFlags,
    volumes: &[Volume],
    published: &[(Port, PortBinding)],
    network_mode: String,
) -> Result<HostConfig, String> {
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    let restart_policy = host::restart_policy(&flags.restart)?;
    if flags.rm && !matches!(restart_policy.name, RestartPolicyName::No | RestartPolicyName::Unset) {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    let security = security::options(&flags.security_opt)?;
    let bare_paths = || if security.bare_system_paths { List::empty() } else { List::null() };
    let pid_mode = host::namespace("pid", "PID", &text(&flags.pid), &["container:"])?;
    let uts_mode = host::namespace("uts", "UTS", &text(&flags.uts), &[])?;
    let userns_mode = host::namespace("userns", "USER", &text(&flags.userns), &[])?;
    let cgroupns_mode = host::namespace("cgroupns", "CGROUP", &text(&flags.cgroupns), &["private"])?;
    let (masked_paths, readonly_paths) = (bare_paths(), bare_paths());
    Ok(HostConfig {
        binds: binds(volumes),
        container_id_file: text(&flags.cidfile),
        log_config: log_config(flags)?,
        network_mode,
        port_bindings: port_bindings(published),
        restart_policy,
        auto_remove: flags.rm,
        volume_driver: text(&flags.volume_driver),
        volumes_from: list(&flags.volumes_from),
        annotations: flags.annotation.iter().map(|text| pair(text)).collect(),
        cap_add: list(&security::added_capabilities(&flags.cap_add)),
        cap_drop: list(&security::capabilities(&flags.cap_drop)),
        cgroupns_mode,
        dns: flags.dns.clone().into(),
        dns_options: flags.dns_option.clone().into(),
        dns_search: flags.dns_search.clone().into(),
        extra_hosts: list(&flags.add_host),
        group_add: list(&flags.group_add),
        ipc_mode: text(&flags.ipc),
        links: list(&flags.link),
        oom_score_adj: flags.oom_score_adj,
        pid_mode,
        privileged: flags.privileged,
        publish_all_ports: flags.publish_all,
        readonly_rootfs: flags.read_only,
        security_opt: list(&security.options),
        storage_opt: storage_options(flags)?,
        tmpfs: flags.tmpfs.iter().map(|text| tmpfs(text)).collect(),
        uts_mode,
        userns_mode,
        shm_size: flags.shm_size,
        sysctls: flags.sysctl.iter().map(|text| pair(text)).collect(),
        runtime: text(&flags.runtime),
        isolation: text(&flags.isolation),
        resources: resources(flags)?,
        mounts: flags.mount.clone(),
        masked_paths,
        readonly_paths,
        init: flags.init,
        ..HostConfig::default()
    })
}

/// Each bind once, in the order given.
fn binds(volumes: &[Volume]) -> List<String> {
    let mut binds: Vec<String> = Vec::new();
    for volume in volumes {
        match volume {
            Volume::Bind(bind) if !binds.contains(bind) => binds.push(bind.clone()),
            _ => {}
        }
    }
    list(&binds)
}

/// Published ports by the container's port.
pub fn port_bindings(published: &[(Port, PortBinding)]) -> PortMap {
    let mut map = PortMap::empty();
    for (port, binding) in published {
        map.entry(*port).or_insert_with(List::empty).push(binding.clone());
    }
    map
}

fn log_config(flags: &ContainerFlags) -> Result<LogConfig, String> {
    let driver = flags.log_driver.clone().unwrap_or_default();
    if driver == "none" && !flags.log_opt.is_empty() {
        return Err("invalid logging opts for driver none".into());
    }
    Ok(LogConfig { driver, config: flags.log_opt.iter().map(|text| pair(text)).collect() })
}

fn storage_options(flags: &ContainerFlags) -> Result<BTreeMap<String, String>, String> {
    let option =
        |text: &String| text.split_once('=').ok_or("invalid storage option").map(|(k, v)| (k.to_owned(), v.to_owned()));
    Ok(flags.storage_opt.iter().map(option).collect::<Result<_, _>>()?)
}

fn tmpfs(text: &str) -> (String, String) {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    (path.to_owned(), options.to_owned())
}

fn resources(flags: &ContainerFlags) -> Result<Resources, String> {
    let text = |flag: &Option<String>| flag.clone().unwrap_or_default();
    let (mut devices, mut cdi) = (Vec::new(), Vec::new());
    for text in &flags.device {
        match device::parse(text)? {
            device::Device::Node(node) => devices.push(node),
            device::Device::Cdi(name) => cdi.push(name),
        }
    }
    let mut requests = flags.gpus.clone();
    if !cdi.is_empty() {
        requests.push(DeviceRequest { driver: "cdi".into(), device_ids: cdi.into(), ..DeviceRequest::default() });
    }
    let mut ulimits: BTreeMap<&str, _> = BTreeMap::new();
    for limit in &flags.ulimit {
        ulimits.insert(&limit.name, limit.clone());
    }
    Ok(Resources {
        cpu_shares: flags.cpu_shares,
        memory: flags.memory,
        nano_cpus: flags.cpus.unwrap_or(0),
        cgroup_parent: text(&flags.cgroup_parent),
        blkio_weight: flags.blkio_weight,
        blkio_weight_device: flags.blkio_weight_device.clone().into(),
        blkio_device_read_bps: flags.device_read_bps.clone().into(),
        blkio_device_write_bps: flags.device_write_bps.clone().into(),
        blkio_device_read_iops: flags.device_read_iops.clone().into(),
        blkio_device_write_iops: flags.device_write_iops.clone().into(),
        cpu_period: flags.cpu_period,
        cpu_quota: flags.cpu_quota,
        cpu_realtime_period: flags.cpu_rt_period,
        cpu_realtime_runtime: flags.cpu_rt_runtime,
        cpuset_cpus: text(&flags.cpuset_cpus),
        cpuset_mems: text(&flags.cpuset_mems),
        devices: devices.into(),
        device_cgroup_rules: list(&flags.device_cgroup_rule),
        device_requests: if requests.is_empty() { List::null() } else { requests.into() },
        memory_reservation: flags.memory_reservation,
        memory_swap: flags.memory_swap,
        memory_swappiness: Some(flags.memory_swappiness),
        oom_kill_disable: Some(flags.oom_kill_disable),
        pids_limit: Some(flags.pids_limit),
        ulimits: ulimits.into_values().collect(),
        ..Resources::default()
    })
}
