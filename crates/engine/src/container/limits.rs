//! Limits and devices: from the API's fields to the runtime's.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use wharf_api::container::{DeviceMapping, Resources as Wanted, ThrottleDevice, Ulimit, WeightDevice};
use wharf_runtime::spec::{Device, DeviceRule, Resources};
use wharf_types::{Error, Result, ResultExt};

/// CPU period in microseconds when `--cpus` is given.
const PERIOD: u64 = 100_000;

/// Limits of the cgroup.
///
/// # Errors
/// `System` for a device that is not there.
pub fn resources(wanted: &Wanted) -> Result<Resources> {
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let (quota, period) = match unsigned(wanted.nano_cpus) {
        Some(nano) => (i64::try_from(nano / (1_000_000_000 / PERIOD)).ok(), Some(PERIOD)),
        None => (Some(wanted.cpu_quota).filter(|quota| *quota != 0), unsigned(wanted.cpu_period)),
    };
    Ok(Resources {
        memory: positive(wanted.memory),
        memory_swap: memory_swap(wanted),
        memory_reservation: positive(wanted.memory_reservation),
        memory_swappiness: wanted.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        oom_kill_disable: wanted.oom_kill_disable.unwrap_or(false),
        cpu_shares: unsigned(wanted.cpu_shares),
        cpu_quota: quota,
        cpu_period: period,
        cpu_rt_period: unsigned(wanted.cpu_realtime_period),
        cpu_rt_runtime: positive(wanted.cpu_realtime_runtime),
        cpuset_cpus: Some(wanted.cpuset_cpus.clone()).filter(|list| !list.is_empty()),
        cpuset_mems: Some(wanted.cpuset_mems.clone()).filter(|list| !list.is_empty()),
        pids: wanted.pids_limit.filter(|limit| *limit > 0),
        blkio_weight: Some(wanted.blkio_weight).filter(|weight| *weight > 0),
        blkio_weight_device: weights(wanted)?,
        blkio_throttle: throttles(wanted)?,
        ..Resources::default()
    })
}

/// Twice the memory unless said otherwise, as Docker does.
fn memory_swap(wanted: &Wanted) -> Option<i64> {
    match (wanted.memory, wanted.memory_swap) {
        (memory, 0) if memory > 0 => Some(memory.saturating_mul(2)),
        (_, 0) => None,
        (_, swap) => Some(swap),
    }
}

fn weights(wanted: &Wanted) -> Result<Vec<(u64, u64, u16)>> {
    let one = |device: &WeightDevice| numbers(&device.path).map(|(major, minor)| (major, minor, device.weight));
    wanted.blkio_weight_device.iter().map(one).collect()
}

/// Major and minor number of a device of the host.
fn numbers(path: &str) -> Result<(u64, u64)> {
    let number = std::fs::metadata(path).with_context(|| format!("stat {path}"))?.rdev();
    Ok((rustix::fs::major(number).into(), rustix::fs::minor(number).into()))
}

fn throttles(wanted: &Wanted) -> Result<Vec<(String, u64, u64, u64)>> {
    let lists: [(&str, &[ThrottleDevice]); 4] = [
        ("rbps", &wanted.blkio_device_read_bps),
        ("wbps", &wanted.blkio_device_write_bps),
        ("riops", &wanted.blkio_device_read_iops),
        ("wiops", &wanted.blkio_device_write_iops),
    ];
    let mut all = Vec::new();
    for (name, list) in lists {
        for device in list {
            let (major, minor) = numbers(&device.path)?;
            all.push((name.to_owned(), major, minor, device.rate));
        }
    }
    Ok(all)
}

/// Limits per process: those that are asked for, and the engine's defaults for all others.
pub fn rlimits(wanted: &Wanted, defaults: &[Ulimit]) -> BTreeMap<String, (u64, u64)> {
    // -1 is the kernel's RLIM_INFINITY.
    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let all = defaults.iter().chain(wanted.ulimits.iter());
    all.map(|limit| (limit.name.clone(), (number(limit.soft), number(limit.hard)))).collect()
}

/// Devices of the host; a folder means all devices in it.
pub fn devices(wanted: &Wanted) -> Result<Vec<Device>> {
    let mut all = Vec::new();
    for mapping in &wanted.devices {
        collect_devices(Path::new(&mapping.path_on_host), &mapping.path_in_container, mapping, &mut all)?;
    }
    Ok(all)
}

/// A device of the host, or those in a folder of it.
pub fn collect_devices(host: &Path, inside: &str, mapping: &DeviceMapping, all: &mut Vec<Device>) -> Result<()> {
    let about = || format!("error gathering device information while adding custom device {:?}", host.display());
    let data = std::fs::metadata(host).with_context(about)?;
    let kind = data.file_type();
    if kind.is_dir() {
        for entry in std::fs::read_dir(host).with_context(about)? {
            let entry = entry.with_context(about)?;
            let path = format!("{}/{}", inside.trim_end_matches('/'), entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_block_device() || kind.is_char_device()) {
                collect_devices(&entry.path(), &path, mapping, all)?;
            }
        }
        return Ok(());
    }
    if !kind.is_block_device() && !kind.is_char_device() {
        return Err(Error::invalid(format!("{}: not a device node", about())));
    }
    let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
    all.push(Device {
        path: inside.to_owned(),
        block: kind.is_block_device(),
        major: rustix::fs::major(data.rdev()),
        minor: rustix::fs::minor(data.rdev()),
        mode: data.mode() & 0o777,
        uid: data.uid(),
        gid: data.gid(),
        access: access.to_owned(),
    });
    Ok(())
}

/// Rules of the device cgroup as `c 1:3 rwm`.
pub fn device_rules(wanted: &Wanted) -> Result<Vec<DeviceRule>> {
    wanted.device_cgroup_rules.iter().map(|rule| device_rule(rule)).collect()
}

fn device_rule(text: &str) -> Result<DeviceRule> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| invalid()),
    };
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let kind = match kind {
        "a" => 'a',
        "b" => 'b',
        "c" => 'c',
        _ => return Err(invalid()),
    };
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(invalid());
    }
    Ok(DeviceRule { allow: true, kind, major: number(major)?, minor: number(minor)?, access: access.to_owned() })
}

/// A size such as `10m` in bytes.
pub fn size(text: &str) -> Result<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(Error::invalid(format!("invalid size: '{text}'"))),
    };
    let number: f64 = digits.trim().parse().map_err(|_| Error::invalid(format!("invalid size: '{text}'")))?;
    if number.is_finite() && number >= 0.0 {
        Ok((number * factor as f64) as u64)
    } else {
        Err(Error::invalid(format!("invalid size: '{text}'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_twice_the_memory_unless_said_otherwise() {
        let with = |memory, memory_swap| Wanted { memory, memory_swap, ..Wanted::default() };
        assert_eq!(resources(&with(64 << 20, 0)).unwrap().memory_swap, Some(128 << 20));
        assert_eq!(resources(&with(64 << 20, -1)).unwrap().memory_swap, Some(-1));
    }

    #[test]
    fn own_ulimits_win_over_the_engines() {
        let limit = |soft| Ulimit { name: "nofile".into(), soft, hard: 100 };
        let wanted = Wanted { ulimits: vec![limit(10)].into(), ..Wanted::default() };
        let nproc = Ulimit { name: "nproc".into(), soft: -1, hard: -1 };
        let all = rlimits(&wanted, &[limit(20), nproc]);
        assert_eq!((all["nofile"], all["nproc"]), ((10, 100), (u64::MAX, u64::MAX)));
    }

    #[test]
    fn half_a_processor_is_half_a_period() {
        let limits = resources(&Wanted { nano_cpus: 500_000_000, ..Wanted::default() }).unwrap();
        assert_eq!((limits.cpu_quota, limits.cpu_period), (Some(50_000), Some(100_000)));
    }

    #[test]
    fn device_rules_and_sizes_are_read() {
        assert_eq!(device_rule("c 10:* rm").unwrap().minor, None);
        for bad in ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 q", "c 1:3 r r"] {
            assert!(device_rule(bad).is_err(), "{bad}");
        }
        assert_eq!((size("10m").unwrap(), size("1KiB").unwrap(), size("1.5g").unwrap()), (10 << 20, 1024, 3 << 29));
        assert!(size("x").is_err() && size("10q").is_err() && size("-1").is_err());
    }
}
