//! Version 1: one folder of the same path in every hierarchy.

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use wharf_types::{Error, Result, ResultExt};

use super::layout::Hierarchy;
use super::{devices, files};
use crate::spec::{ContainerSpec, Resources};

pub(super) fn create(hierarchies: &[Hierarchy], path: &str, spec: &ContainerSpec) -> Result<()> {
    for hierarchy in hierarchies {
        make_folder(hierarchy, path)?;
    }
    set_limits(hierarchies, path, &spec.cgroup.resources)?;
    match (devices::rules(spec), find(hierarchies, "devices")) {
        (Some(rules), Some(hierarchy)) => apply_device_rules(&hierarchy.mount.join(path), &rules),
        _ => Ok(()),
    }
}

fn find<'a>(hierarchies: &'a [Hierarchy], controller: &str) -> Option<&'a Hierarchy> {
    hierarchies.iter().find(|hierarchy| hierarchy.has(controller))
}

fn make_folder(hierarchy: &Hierarchy, path: &str) -> Result<()> {
    let folder = hierarchy.mount.join(path);
    let failed = || format!("cannot make cgroup {}", folder.display());
    match mkdir(&folder) {
        Err(Errno::EXIST) => match std::fs::remove_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(Error::conflict(format!("cgroup {} is in use", folder.display())));
            }
            _ => mkdir(&folder).map_err(io::Error::from).with_context(failed)?,
        },
        Err(Errno::NOENT) => make_parents(hierarchy, path).with_context(failed)?,
        other => other.map_err(io::Error::from).with_context(failed)?,
    }
    if hierarchy.has("cpuset") { inherit_cpuset(&hierarchy.mount, path).with_context(failed) } else { Ok(()) }
}

fn mkdir(folder: &Path) -> rustix::io::Result<()> {
    mkdirat(CWD, folder, Mode::from_raw_mode(0o755))
}

/// The path from the top; someone else may be making the same parents.
fn make_parents(hierarchy: &Hierarchy, path: &str) -> io::Result<()> {
    let mut folder = hierarchy.mount.clone();
    for name in path.split('/') {
        folder.push(name);
        match mkdir(&folder) {
            Err(Errno::EXIST) => {}
            other => other?,
        }
    }
    Ok(())
}

/// A cpuset without processors or memory takes no process: each level copies those of the level above.
fn inherit_cpuset(root: &Path, path: &str) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !files::read(&root.join(path).join(file))?.trim().is_empty() {
            continue;
        }
        let mut folder = root.to_owned();
        let mut inherited = files::read(&folder.join(file))?;
        for name in path.split('/') {
            folder.push(name);
            let present = files::read(&folder.join(file))?;
            if present.trim().is_empty() {
                files::write(&folder.join(file), inherited.trim())?;
            } else {
                inherited = present;
            }
        }
        // From now on the kernel copies them for what is made next to this one.
        if let Some(parent) = folder.parent().filter(|parent| *parent != root) {
            files::write_if_there(&parent.join("cgroup.clone_children"), "1")?;
        }
    }
    Ok(())
}

fn apply_device_rules(folder: &Path, rules: &[crate::spec::DeviceRule]) -> Result<()> {
    let failed = || "cannot set the device rules";
    let deny = files::open_to_write(&folder.join("devices.deny")).context(failed())?;
    let allow = files::open_to_write(&folder.join("devices.allow")).context(failed())?;
    rustix::io::write(&deny, b"a").map_err(io::Error::from).with_context(failed)?;
    for rule in rules {
        let file = if rule.allow { &allow } else { &deny };
        let text = devices::text(rule);
        rustix::io::write(file, text.as_bytes())
            .map_err(io::Error::from)
            .with_context(|| format!("cannot set device rule {text:?}"))?;
    }
    Ok(())
}

pub(super) fn set_limits(hierarchies: &[Hierarchy], path: &str, limits: &Resources) -> Result<()> {
    if *limits == Resources::default() {
        return Ok(());
    }
    let folder = |controller: &str| find(hierarchies, controller).map(|hierarchy| hierarchy.mount.join(path));
    if let Some(folder) = folder("memory") {
        set_memory(&folder, limits)?;
    }
    if let Some(folder) = folder("cpu") {
        set(&folder, "cpu.shares", limits.cpu_shares)?;
        set_cpu_quota(&folder, limits)?;
        set(&folder, "cpu.cfs_burst_us", limits.cpu_burst)?;
        set(&folder, "cpu.idle", limits.cpu_idle)?;
        set(&folder, "cpu.rt_period_us", limits.cpu_rt_period)?;
        set(&folder, "cpu.rt_runtime_us", limits.cpu_rt_runtime)?;
    }
    if let Some(folder) = folder("cpuset") {
        set(&folder, "cpuset.cpus", limits.cpuset_cpus.as_ref().filter(|text| !text.is_empty()))?;
        set(&folder, "cpuset.mems", limits.cpuset_mems.as_ref().filter(|text| !text.is_empty()))?;
    }
    if let Some(folder) = folder("pids") {
        let text = limits.pids.map(|pids| if pids > 0 { pids.to_string() } else { "max".to_owned() });
        set(&folder, "pids.max", text)?;
    }
    if let Some(folder) = folder("blkio") {
        set_block_io(&folder, limits)?;
    }
    set_rarer(hierarchies, path, limits)
}

fn set_rarer(hierarchies: &[Hierarchy], path: &str, limits: &Resources) -> Result<()> {
    let folder = |controller: &str| {
        find(hierarchies, controller).map(|hierarchy| hierarchy.mount.join(path)).ok_or_else(|| {
            Error::not_implemented(format!("this host has no {controller} cgroup controller of version 1"))
        })
    };
    if !limits.unified.is_empty() {
        return Err(Error::invalid("unified resources need a host with cgroup version 2"));
    }
    for (size, limit) in &limits.hugepages {
        set(&folder("hugetlb")?, &format!("hugetlb.{size}.limit_in_bytes"), Some(limit))?;
    }
    for (device, (handles, objects)) in &limits.rdma {
        set(&folder("rdma")?, "rdma.max", Some(super::rdma_line(device, *handles, *objects)))?;
    }
    if let Some(class) = limits.network_class {
        set(&folder("net_cls")?, "net_cls.classid", Some(class))?;
    }
    for (interface, priority) in &limits.network_priorities {
        set(&folder("net_prio")?, "net_prio.ifpriomap", Some(format!("{interface} {priority}")))?;
    }
    Ok(())
}

/// Where the kernel has no such file (swap accounting off, another scheduler) the limit does not exist here.
fn set(folder: &Path, file: &str, value: Option<impl ToString>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    let value = value.to_string();
    files::write_if_there(&folder.join(file), &value).with_context(|| format!("cannot set {file} to {value}"))?;
    Ok(())
}

/// memory+swap may never be below memory: which of the two goes first depends on the direction.
fn set_memory(folder: &Path, limits: &Resources) -> Result<()> {
    const MEMORY: &str = "memory.limit_in_bytes";
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let present = files::read_number(&folder.join(SWAP)).unwrap_or_default();
    let raises = match (limits.memory_swap, present) {
        (Some(-1), _) => true,
        (Some(wanted), Some(present)) => u64::try_from(wanted).is_ok_and(|wanted| wanted > present),
        _ => false,
    };
    let mut order = [(MEMORY, limits.memory), (SWAP, limits.memory_swap)];
    if raises {
        order.reverse();
    }
    for (file, value) in order {
        set(folder, file, value.filter(|value| *value != 0))?;
    }
    set(folder, "memory.soft_limit_in_bytes", limits.memory_reservation.filter(|value| *value != 0))?;
    set(folder, "memory.swappiness", limits.memory_swappiness)?;
    set(folder, "memory.kmem.tcp.limit_in_bytes", limits.kernel_memory_tcp.filter(|value| *value != 0))?;
    set(folder, "memory.oom_control", limits.oom_kill_disable.then_some(1))
}

/// The kernel checks each against the other: where one order is refused the other is tried.
fn set_cpu_quota(folder: &Path, limits: &Resources) -> Result<()> {
    let period = || set(folder, "cpu.cfs_period_us", limits.cpu_period.filter(|value| *value != 0));
    let quota = || set(folder, "cpu.cfs_quota_us", limits.cpu_quota.filter(|value| *value != 0));
    match period() {
        Ok(()) => quota(),
        Err(_) => quota().and_then(|()| period()),
    }
}

fn set_block_io(folder: &Path, limits: &Resources) -> Result<()> {
    let weight = limits.blkio_weight.filter(|weight| *weight != 0);
    for file in ["blkio.weight", "blkio.bfq.weight"] {
        set(folder, file, weight)?;
    }
    for file in ["blkio.leaf_weight", "blkio.bfq.leaf_weight"] {
        set(folder, file, limits.blkio_leaf_weight.filter(|weight| *weight != 0))?;
    }
    for (major, minor, weight) in &limits.blkio_weight_device {
        for file in ["blkio.weight_device", "blkio.bfq.weight_device"] {
            set(folder, file, Some(format!("{major}:{minor} {weight}")))?;
        }
    }
    for (kind, major, minor, value) in &limits.blkio_throttle {
        let file = match kind.as_str() {
            "rbps" => "blkio.throttle.read_bps_device",
            "wbps" => "blkio.throttle.write_bps_device",
            "riops" => "blkio.throttle.read_iops_device",
            "wiops" => "blkio.throttle.write_iops_device",
            other => return Err(Error::invalid(format!("unknown block I/O limit: {other:?}"))),
        };
        set(folder, file, Some(format!("{major}:{minor} {value}")))?;
    }
    Ok(())
}

pub(super) fn set_frozen(hierarchies: &[Hierarchy], path: &str, frozen: bool) -> Result<bool> {
    let hierarchy = find(hierarchies, "freezer").ok_or_else(|| Error::not_implemented("there is no freezer cgroup"))?;
    let file = hierarchy.mount.join(path).join("freezer.state");
    let state = if frozen { "FROZEN" } else { "THAWED" };
    files::write(&file, state)?;
    Ok(files::read(&file)?.trim() == state)
}

pub(super) fn is_frozen(hierarchies: &[Hierarchy], path: &str) -> io::Result<bool> {
    let Some(hierarchy) = find(hierarchies, "freezer") else { return Ok(false) };
    let state = files::read_if_there(&hierarchy.mount.join(path).join("freezer.state"))?;
    Ok(state.is_some_and(|state| state.trim() != "THAWED"))
}

pub(super) fn oom_kills(hierarchies: &[Hierarchy], path: &str) -> Result<u64> {
    let Some(hierarchy) = find(hierarchies, "memory") else { return Ok(0) };
    let count = files::read_entry(&hierarchy.mount.join(path).join("memory.oom_control"), "oom_kill");
    Ok(count.context("cannot read memory.oom_control")?.unwrap_or(0))
}
