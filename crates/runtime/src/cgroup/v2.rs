//! Version 2: one folder, with the controllers switched on from above.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use wharf_types::{Error, Result, ResultExt};

use super::{device_program, devices, files};
use crate::spec::{ContainerSpec, Resources};

/// What a container's limits and figures need.
const CONTROLLERS: [&str; 7] = ["cpu", "memory", "pids", "io", "cpuset", "hugetlb", "rdma"];

pub(super) fn create(root: &Path, path: &str, spec: &ContainerSpec) -> Result<()> {
    let folder = root.join(path);
    make_folder(root, path)?;
    set_limits(&folder, &spec.cgroup.resources)?;
    match devices::rules(spec) {
        Some(rules) => guard_devices(&folder, &rules).context("cannot set the device rules"),
        None => Ok(()),
    }
}

fn guard_devices(folder: &Path, rules: &[crate::spec::DeviceRule]) -> Result<()> {
    let program = wharf_sys::bpf::load_device_program(&device_program::compile(rules))?;
    let folder = files::open_folder(folder)?;
    wharf_sys::bpf::attach_device_program(folder, program)?;
    Ok(())
}

fn make_folder(root: &Path, path: &str) -> Result<()> {
    let folder = root.join(path);
    let failed = || format!("cannot make cgroup {}", folder.display());
    let parents: Vec<&str> = path.split('/').collect();
    let mut parent = root.to_owned();
    enable(&parent)?;
    for name in &parents[..parents.len() - 1] {
        parent.push(name);
        match mkdir(&parent) {
            Err(Errno::EXIST) => {}
            other => other.map_err(io::Error::from).with_context(failed)?,
        }
        enable(&parent)?;
    }
    match mkdir(&folder) {
        Err(Errno::EXIST) => match std::fs::remove_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                Err(Error::conflict(format!("cgroup {} is in use", folder.display())))
            }
            _ => mkdir(&folder).map_err(io::Error::from).with_context(failed),
        },
        other => other.map_err(io::Error::from).with_context(failed),
    }
}

fn mkdir(folder: &Path) -> rustix::io::Result<()> {
    mkdirat(CWD, folder, Mode::from_raw_mode(0o755))
}

/// Switches on what is there for the cgroups below `folder`, one by one: the kernel may refuse a single controller (cpu
/// while real-time processes exist, or one where the folder itself holds processes). A limit that then has no file is
/// reported when it is set.
fn enable(folder: &Path) -> Result<()> {
    let file = folder.join("cgroup.subtree_control");
    let failed = || format!("cannot read {}", file.display());
    let on = files::read(&file).with_context(failed)?;
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    if CONTROLLERS.iter().all(|name| has(&on, name)) {
        return Ok(());
    }
    let available = files::read(&folder.join("cgroup.controllers")).with_context(failed)?;
    for name in CONTROLLERS.iter().filter(|name| has(&available, name) && !has(&on, name)) {
        let _refused = files::write(&file, &format!("+{name}"));
    }
    Ok(())
}

pub(super) fn set_limits(folder: &Path, limits: &Resources) -> Result<()> {
    for (file, value) in values(limits)? {
        let path = folder.join(file);
        let there = files::write_if_there(&path, &value).with_context(|| format!("cannot set {file} to {value}"))?;
        // Swap and scheduler weights depend on how the kernel was built; all others are what the limit is about.
        if !there && !matches!(file, "memory.swap.max" | "io.weight" | "io.bfq.weight") {
            return Err(Error::not_implemented(format!("this host has no {file} for containers"))
                .with_hint("its cgroup controller is not available; see /sys/fs/cgroup/cgroup.controllers"));
        }
    }
    set_named(folder, limits)
}

/// Limits by device or page size, and whatever was written down for version 2 itself, which has the last word.
fn set_named(folder: &Path, limits: &Resources) -> Result<()> {
    let mut named: Vec<(String, String)> = Vec::new();
    for (size, limit) in &limits.hugepages {
        named.push((format!("hugetlb.{size}.max"), limit.to_string()));
    }
    for (device, (handles, objects)) in &limits.rdma {
        named.push(("rdma.max".to_owned(), super::rdma_line(device, *handles, *objects)));
    }
    named.extend(limits.unified.iter().map(|(file, value)| (file.clone(), value.clone())));
    for (file, value) in named {
        // One line is one rule for the kernel.
        for line in value.lines() {
            files::write(&folder.join(&file), line).with_context(|| format!("cannot set {file} to {line}"))?;
        }
    }
    Ok(())
}

/// Which file gets which text, in the order of writing.
fn values(limits: &Resources) -> Result<Vec<(&'static str, String)>> {
    let mut values = Vec::new();
    let bytes = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    if let Some(swap) = set(limits.memory_swap) {
        values.push(("memory.swap.max", bytes(swap_alone(swap, limits.memory)?)));
    }
    if let Some(memory) = set(limits.memory) {
        values.push(("memory.max", bytes(memory)));
    }
    if let Some(reservation) = set(limits.memory_reservation) {
        values.push(("memory.low", bytes(reservation)));
    }
    if let Some(shares) = limits.cpu_shares.filter(|shares| *shares != 0) {
        values.push(("cpu.weight", weight_of_shares(shares).to_string()));
    }
    if limits.cpu_quota.is_some_and(|quota| quota != 0) || limits.cpu_period.is_some_and(|period| period != 0) {
        let quota =
            limits.cpu_quota.filter(|quota| *quota > 0).map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        let period = limits.cpu_period.filter(|period| *period != 0).unwrap_or(100_000);
        values.push(("cpu.max", format!("{quota} {period}")));
    }
    for (file, text) in [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)] {
        values.extend(text.iter().filter(|text| !text.is_empty()).map(|text| (file, text.clone())));
    }
    if let Some(burst) = limits.cpu_burst {
        values.push(("cpu.max.burst", burst.to_string()));
    }
    if let Some(idle) = limits.cpu_idle {
        values.push(("cpu.idle", idle.to_string()));
    }
    if let Some(pids) = limits.pids {
        values.push(("pids.max", if pids > 0 { pids.to_string() } else { "max".to_owned() }));
    }
    if let Some(weight) = limits.blkio_weight.filter(|weight| *weight != 0) {
        values.push(("io.bfq.weight", weight.to_string()));
        values.push(("io.weight", weight_of_block_io(weight).to_string()));
    }
    for (major, minor, weight) in &limits.blkio_weight_device {
        values.push(("io.bfq.weight", format!("{major}:{minor} {weight}")));
        values.push(("io.weight", format!("{major}:{minor} {}", weight_of_block_io(*weight))));
    }
    for (kind, major, minor, value) in &limits.blkio_throttle {
        if !matches!(kind.as_str(), "rbps" | "wbps" | "riops" | "wiops") {
            return Err(Error::invalid(format!("unknown block I/O limit: {kind:?}")));
        }
        let value = if *value == 0 { "max".to_owned() } else { value.to_string() };
        values.push(("io.max", format!("{major}:{minor} {kind}={value}")));
    }
    Ok(values)
}

/// Version 1 limits memory and swap together, version 2 swap alone.
fn swap_alone(together: i64, memory: Option<i64>) -> Result<i64> {
    match memory {
        _ if together < 0 => Ok(-1),
        Some(memory) if memory > 0 && memory <= together => Ok(together - memory),
        Some(memory) if memory > together => {
            Err(Error::invalid("minimum memoryswap limit should be larger than memory limit, see usage"))
        }
        _ => Err(Error::invalid("you should always set the memory limit when using the memoryswap limit, see usage")),
    }
}

/// Shares from 2 to 262144 to a weight from 1 to 10000, linearly.
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Block I/O weight from 10 to 1000 to one from 1 to 10000, linearly.
fn weight_of_block_io(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

pub(super) fn set_frozen(folder: &Path, frozen: bool) -> Result<bool> {
    files::write(&folder.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    Ok(files::read_entry(&folder.join("cgroup.events"), "frozen")? == Some(u64::from(frozen)))
}

pub(super) fn is_frozen(folder: &Path) -> io::Result<bool> {
    Ok(files::read_entry(&folder.join("cgroup.events"), "frozen")? == Some(1))
}

pub(super) fn oom_kills(folder: &Path) -> Result<u64> {
    let count = files::read_entry(&folder.join("memory.events"), "oom_kill");
    Ok(count.context("cannot read memory.events")?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_cover_the_whole_range() {
        assert_eq!([2, 1024, 262_144, 0, 999_999].map(weight_of_shares), [1, 39, 10_000, 1, 10_000]);
        assert_eq!([10, 500, 1000].map(weight_of_block_io), [1, 4950, 10_000]);
    }

    #[test]
    fn limits_become_version_2_values() {
        let limits = Resources {
            memory: Some(100),
            memory_swap: Some(300),
            cpu_quota: Some(50_000),
            pids: Some(-1),
            blkio_throttle: vec![("rbps".to_owned(), 8, 0, 1024)],
            ..Resources::default()
        };
        let expected = [
            ("memory.swap.max", "200"),
            ("memory.max", "100"),
            ("cpu.max", "50000 100000"),
            ("pids.max", "max"),
            ("io.max", "8:0 rbps=1024"),
        ];
        assert_eq!(values(&limits).unwrap(), expected.map(|(file, text)| (file, text.to_owned())));
    }

    #[test]
    fn swap_below_memory_is_refused() {
        assert!(swap_alone(50, Some(100)).is_err());
        assert!(swap_alone(50, None).is_err());
        assert_eq!(swap_alone(-1, None).unwrap(), -1);
    }

    /// Also where version 1 is in use: a hybrid host has a tree of version 2 beside it.
    #[test]
    fn a_process_born_in_a_guarded_cgroup_has_the_listed_devices_only() {
        let table = files::read(Path::new("/proc/self/mountinfo")).unwrap();
        let tree = table.lines().find(|line| line.contains(" - cgroup2 "));
        let Some(tree) = tree.and_then(|line| line.split(' ').nth(4)).map(Path::new) else {
            eprintln!("skipped: there is no cgroup2 mount");
            return;
        };
        let folder = tree.join(format!("runtime-test-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let rule = |minor| crate::spec::DeviceRule {
            allow: true,
            kind: 'c',
            major: Some(1),
            minor: Some(minor),
            access: "rw".to_owned(),
        };
        let guarded = guard_devices(&folder, &[rule(3), rule(9)]);
        let target = files::open_folder(&folder).unwrap();
        let opens = |path: &str| std::fs::File::open(path).is_ok();
        let child = || i32::from(opens("/dev/null") && opens("/dev/urandom") && !opens("/dev/zero"));
        let cloned = wharf_sys::process::clone_process(0, Some(std::os::fd::AsFd::as_fd(&target)), child);
        let code = cloned.map(|(pid, pidfd)| crate::Child::new(pid, pidfd).wait().unwrap());
        std::fs::remove_dir(&folder).unwrap();
        guarded.unwrap();
        assert_eq!(code.unwrap(), 1);
    }
}
