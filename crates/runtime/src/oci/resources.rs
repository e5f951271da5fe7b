//! Limits of a bundle, and of an update.

use wharf_types::{Error, Result};

use super::config::{self, BlockIo, ThrottleDevice};
use crate::spec::{DeviceRule, Resources};

/// The cgroup's limits.
pub fn resources(wanted: &config::Resources) -> Result<Resources> {
    let memory = wanted.memory.clone().unwrap_or_default();
    let cpu = wanted.cpu.clone().unwrap_or_default();
    let block_io = wanted.block_io.clone().unwrap_or_default();
    let network = wanted.network.clone().unwrap_or_default();
    for file in wanted.unified.keys() {
        if file.contains('/') || !file.contains('.') {
            return Err(Error::invalid(format!("unified resource {file:?} must be a file name")));
        }
    }
    Ok(Resources {
        memory: memory.limit,
        memory_swap: memory.swap,
        memory_reservation: memory.reservation,
        memory_swappiness: memory.swappiness,
        oom_kill_disable: memory.disable_oom_killer.unwrap_or(false),
        kernel_memory_tcp: memory.kernel_tcp,
        cpu_shares: cpu.shares,
        cpu_quota: cpu.quota,
        cpu_burst: cpu.burst,
        cpu_period: cpu.period,
        cpu_rt_period: cpu.realtime_period,
        cpu_rt_runtime: cpu.realtime_runtime,
        cpu_idle: cpu.idle,
        cpuset_cpus: Some(cpu.cpus).filter(|list| !list.is_empty()),
        cpuset_mems: Some(cpu.mems).filter(|list| !list.is_empty()),
        pids: wanted.pids.as_ref().map(|pids| pids.limit),
        hugepages: wanted.hugepage_limits.iter().map(|limit| (limit.page_size.clone(), limit.limit)).collect(),
        rdma: wanted.rdma.iter().map(|(name, rdma)| (name.clone(), (rdma.hca_handles, rdma.hca_objects))).collect(),
        network_class: network.class_id,
        network_priorities: network.priorities.into_iter().map(|one| (one.name, one.priority)).collect(),
        unified: wanted.unified.clone(),
        blkio_weight: block_io.weight,
        blkio_leaf_weight: block_io.leaf_weight,
        blkio_weight_device: block_io
            .weight_device
            .iter()
            .filter_map(|device| Some((device.major, device.minor, device.weight?)))
            .collect(),
        blkio_throttle: throttles(&block_io),
    })
}

fn throttles(wanted: &BlockIo) -> Vec<(String, u64, u64, u64)> {
    let lists: [(&str, &[ThrottleDevice]); 4] = [
        ("rbps", &wanted.throttle_read_bps_device),
        ("wbps", &wanted.throttle_write_bps_device),
        ("riops", &wanted.throttle_read_iops_device),
        ("wiops", &wanted.throttle_write_iops_device),
    ];
    let rows = lists.iter().flat_map(|(kind, devices)| {
        devices.iter().map(|device| ((*kind).to_owned(), device.major, device.minor, device.rate))
    });
    rows.collect()
}

/// The rules that are added to those of the standard devices. A rule for all devices makes those before it void.
pub(super) fn device_rules(wanted: &[config::DeviceRule]) -> Result<Vec<DeviceRule>> {
    let mut rules = Vec::new();
    for rule in wanted {
        let rule = device_rule(rule)?;
        if rule.kind == 'a' {
            rules.clear();
            if !rule.allow {
                continue;
            }
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn device_rule(wanted: &config::DeviceRule) -> Result<DeviceRule> {
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| Error::invalid(format!("invalid number in a device rule: {value}"))),
    };
    let kind = match wanted.kind.as_str() {
        "" | "a" => 'a',
        "b" => 'b',
        "c" | "u" => 'c',
        other => return Err(Error::invalid(format!("invalid type in a device rule: {other:?}"))),
    };
    let access = if wanted.access.is_empty() { "rwm" } else { &wanted.access };
    if !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(Error::invalid(format!("invalid access in a device rule: {access:?}")));
    }
    let (major, minor) = (number(wanted.major)?, number(wanted.minor)?);
    // What names a device of no kind is about devices of both, which the kernel takes as one rule only for all of them.
    Ok(DeviceRule { allow: wanted.allow, kind, major, minor, access: access.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_all_devices_voids_those_before() {
        let rules = |json: &str| device_rules(&serde_json::from_str::<Vec<config::DeviceRule>>(json).unwrap());
        let text = r#"[{"allow":true,"type":"c","major":10},{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":8,"minor":-1,"access":"r"}]"#;
        let kept = rules(text).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].kind, kept[0].major, kept[0].minor), ('b', Some(8), None));
        assert!(rules(r#"[{"allow":true,"type":"x"}]"#).is_err());
    }
}
