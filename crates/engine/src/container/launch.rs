//! From a record to a running process: network plan, files, monitor.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use wharf_monitor::protocol::Streams;
use wharf_network::plan::SandboxPlan;
use wharf_runtime::spec::Resources;
use wharf_types::{Error, Kind, Result, ResultExt};

use super::owner::Live;
use super::record::{NetworkMode, Record};
use super::{files, networking, spec};
use crate::services::Services;

/// Decides what the container gets on the network.
pub async fn plan(services: &Services, record: &Record) -> Result<SandboxPlan> {
    if let NetworkMode::Container(id) = record.network_mode() {
        return services.directory.namespace_of(&id, "net").map(SandboxPlan::Join);
    }
    let wanted = networking::wanted(&services.networks, record)?;
    services.networks.call(record.id, &record.name);
    let ports = record.port_requests()?;
    let sysctls = record.network_sysctls();
    services.networks.plan(record.id, &wanted, &ports, sysctls).await
}

/// A port that is taken, as Docker reports it: with the endpoint, and as a failure of the host.
pub fn docker_wording(record: &Record, error: Error) -> Error {
    if error.kind() != Kind::Conflict {
        return error;
    }
    let sentence = "driver failed programming external connectivity on endpoint";
    let wrapped = Error::system(format!("{sentence} {} ({}): {}", record.name, record.id, error.chain()));
    match error.hint() {
        Some(hint) => wrapped.with_hint(hint),
        None => wrapped,
    }
}

/// Makes the monitor and, through it, the container; answers the connection, the process id and the time of the start.
///
/// `intent` is the state that announces all this, on its way to the database. Files and an idle monitor are made
/// meanwhile; nothing that a crash could leave behind is done before it has arrived.
pub async fn start(
    services: &Services,
    record: &Record,
    sandbox: SandboxPlan,
    clients: Vec<(OwnedFd, Streams)>,
    intent: impl Future<Output = Result<()>>,
) -> Result<(Live, i32, String)> {
    let run_dir = services.config.monitor_dir(record.id);
    let container_dir = services.config.container_dir(record.id);
    let host_gateway = services.networks.find("bridge").ok().and_then(|bridge| bridge.gateway4());
    let names = networking::names_plan(services, record, &sandbox);
    let around = files::Surroundings {
        dns: &services.config.dns,
        host_gateway,
        has_names: names.is_some(),
        joined: joined(services, record),
    };
    // Some small files and a process: sending that to another thread would take longer than doing it.
    let newborn = tokio::task::block_in_place(|| {
        files::write(record, &sandbox, &container_dir, &around)?;
        make_fresh(&run_dir)?;
        services.monitors.take()
    })?;
    // A monitor that is told nothing ends with its connection.
    intent.await?;
    let places = acquire_volumes(services, record).await?;
    let spec = spec::build(services, places.as_ref().unwrap_or(record), sandbox, names)?;
    let monitor = newborn.pid();
    let (started, handle, events) = newborn.start(&run_dir, &spec, clients).await?;
    services.monitors.refill(false, record.has_own_network());
    services.images.stock_snapshots_later();
    Ok((Live { pid: monitor, handle: Arc::new(handle), events }, started.pid, started.started_at))
}

/// Makes volumes ready that must be mounted first: the record with the places where they are then; `None` where there
/// are no such volumes. They are given back with the run.
async fn acquire_volumes(services: &Services, record: &Record) -> Result<Option<Record>> {
    if record.mounts.iter().all(|mount| mount.volume.is_none()) {
        return Ok(None);
    }
    let mut record = record.clone();
    let (id, layers) = (record.id, record.layers.clone());
    for mount in &mut record.mounts {
        if let Some(volume) = &mount.volume {
            let place = services.volumes.acquire(volume, id).await?;
            if place != mount.source {
                mount.source = place;
                let (layers, mounts) = (layers.clone(), vec![mount.clone()]);
                crate::blocking(move || super::copy_up::fill(&layers, &mounts)).await?;
            }
        }
    }
    Ok(Some(record))
}

/// The folder of the container whose network it shares.
fn joined(services: &Services, record: &Record) -> Option<std::path::PathBuf> {
    let NetworkMode::Container(id) = record.network_mode() else { return None };
    services.directory.find(&id).ok().map(|entry| services.config.container_dir(entry.id))
}

/// Freezes or thaws a container's processes.
pub async fn freeze(services: &Services, record: &Record, frozen: bool) -> Result<()> {
    let path = services.cgroup_of(record.cgroup_parent(), record.id);
    crate::blocking(move || {
        let group = wharf_runtime::cgroup::Group::open(&path)?;
        if frozen { group.freeze() } else { group.thaw() }
    })
    .await
}

/// Whether the kernel holds a container's processes still.
pub async fn is_frozen(services: &Services, record: &Record) -> Result<bool> {
    let path = services.cgroup_of(record.cgroup_parent(), record.id);
    crate::blocking(move || wharf_runtime::cgroup::Group::open(&path)?.is_frozen()).await
}

/// Changes the limits of a container that runs.
pub async fn limit(services: &Services, record: &Record, resources: Resources) -> Result<()> {
    let path = services.cgroup_of(record.cgroup_parent(), record.id);
    crate::blocking(move || wharf_runtime::cgroup::Group::open(&path)?.update(&resources)).await
}

/// An empty monitor folder: what an earlier run left there is known by now.
pub(super) fn make_fresh(dir: &std::path::Path) -> Result<()> {
    let made = std::fs::create_dir(dir).or_else(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => std::fs::remove_dir_all(dir).and_then(|()| std::fs::create_dir(dir)),
        _ => std::fs::create_dir_all(dir),
    });
    made.with_context(|| format!("cannot make an empty folder {}", dir.display()))
}
