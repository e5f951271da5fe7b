//! The start of an engine: what the database says is brought together with what is really there.
//!
//! Afterwards exactly the objects in the database exist. Containers whose monitors live are taken over as they are;
//! the others have ended meanwhile, and how is in the exit records that their monitors left. Whatever belongs to no
//! row is removed. One damaged container is set aside and stops nothing.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use wharf_network::plan::SandboxPlan;
use wharf_runtime::cgroup::Group;
use wharf_types::{Error, Id, Kind, Result};

use crate::container::rows::{self, Row};
use crate::container::{
    Containers, Request, Snapshot, State, connect_monitor, cut_off, find_exit, lost, names_on, starting_health, sweep,
};
use crate::services::Services;
use crate::store::Durability;

/// Brings everything in order.
pub async fn run(services: &Services, containers: &Containers) -> Result<()> {
    let rows = rows::load(&services.store).await?;
    let known: HashSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    join_all(rows.into_iter().map(|row| take_over(services, containers, row))).await;
    let live = containers.any_live();
    sweep_orphans(services, known).await;
    services.volumes.settle().await;
    restore_networks(services, containers, live).await;
    services.images.collect_later();
    services.images.empty_trash_later();
    containers.start_at_boot();
    Ok(())
}

/// What containers that live need is repaired before anyone is served; the rest is made while nobody waits.
async fn restore_networks(services: &Services, containers: &Containers, live: bool) {
    let networks = &services.networks;
    let mut problems = networks.sweep_orphans().await;
    if live {
        problems.extend(networks.repair(containers.published_ports()).await.err());
    } else {
        problems.extend(networks.take_down(false).await);
    }
    for problem in problems {
        tracing::error!(problem = %problem.chain(), "networks could not be put in order");
    }
    let of = containers.clone();
    networks.keep_watch(move || of.published_ports());
    let networks = networks.clone();
    tokio::spawn(async move { networks.bring_up_all().await });
}

async fn take_over(services: &Services, containers: &Containers, row: Row) {
    let (record, stored) = match row.content {
        Ok(content) => content,
        Err(error) => {
            tracing::error!(container = row.id, name = row.name, error = %error.chain(), "set aside");
            if let Ok(id) = row.id.parse() {
                services.directory.set_aside(id, &row.name, error);
            }
            return;
        }
    };
    services.images.hold(record.id, services.images.store().lease_layers(&record.all_diff_ids()));
    let mut snapshot = Snapshot::at_rest(Arc::new(record), stored.state, stored.restarts);
    if snapshot.record.has_health_check() && !matches!(snapshot.state, State::Created) {
        // What was found is the monitor's to tell.
        snapshot.health = Some(Arc::new(starting_health()));
    }
    if !snapshot.state.is_live() {
        containers.adopt(snapshot, None);
        return;
    }
    let adopt = |sandbox: Option<&SandboxPlan>| {
        let record = &snapshot.record;
        if let Some(sandbox) = sandbox {
            services.networks.adopt(record.id, &record.name, sandbox, &|network| names_on(record, network));
        }
    };
    match connect_monitor(services, &snapshot).await {
        Ok((state, live)) => {
            adopt(state.sandbox());
            adopt_volumes(services, &snapshot).await;
            containers.adopt(Snapshot { state, settled: false, ..snapshot }, Some(live));
        }
        Err(error) if error.kind() == Kind::Unavailable && snapshot.state.running().is_some() => {
            tracing::error!(container = %snapshot.record.id, reason = %error.chain(), "set aside until it answers");
            adopt(snapshot.state.sandbox());
            adopt_volumes(services, &snapshot).await;
            let stuck = Some(error.to_string().into());
            containers.adopt(Snapshot { settled: false, stuck, ..snapshot }, None);
        }
        Err(error) => {
            tracing::info!(container = %snapshot.record.id, reason = %error.chain(), "ended while no engine ran");
            let ended = end(services, snapshot).await;
            let goes = ended.record.auto_remove();
            let entry = containers.adopt(ended, None);
            if goes && let Err(error) = entry.ask(|reply| Request::Remove { volumes: true, reply }).await {
                tracing::warn!(container = %entry.id, error = %error.chain(), "an ended container was not removed");
            }
        }
    }
}

/// The volumes of a container that lives stay mounted.
async fn adopt_volumes(services: &Services, snapshot: &Snapshot) {
    for volume in snapshot.record.volumes() {
        services.volumes.adopt(volume, snapshot.record.id).await;
    }
}

/// The container of a monitor that is gone: how it ended, and nothing of it left.
async fn end(services: &Services, snapshot: Snapshot) -> Snapshot {
    let problems = sweep(services, &snapshot.record, snapshot.state.sandbox()).await;
    for problem in problems {
        tracing::warn!(container = %snapshot.record.id, problem = %problem.chain(), "left over");
    }
    let unknown = || if snapshot.state.running().is_some() { lost() } else { cut_off() };
    let exit = find_exit(services, &snapshot.record).await.unwrap_or_else(unknown);
    let ended = Snapshot { state: snapshot.state.after(&exit), exits: 1, ..snapshot };
    if let Err(error) = rows::update(&services.store, &ended, Durability::Crash).await {
        tracing::error!(container = %ended.record.id, error = %error.chain(), "state not written");
    }
    ended
}

/// Removes folders and cgroups that belong to no container of the database.
async fn sweep_orphans(services: &Services, known: HashSet<String>) {
    let (config, images) = (Arc::clone(&services.config), services.images.clone());
    let parent = services.cgroup_parent();
    let work = move || {
        let mut problems: Vec<Error> = Vec::new();
        for id in orphans(&config.monitors_dir(), &known) {
            let cgroup = Group::open(&format!("{parent}/{id}"));
            problems.extend(cgroup.and_then(|group| group.kill_all().and_then(|()| group.remove())).err());
            let removed = std::fs::remove_dir_all(config.monitor_dir(&id));
            problems.extend(removed.err().map(Error::from));
        }
        for id in orphans(&config.containers_dir(), &known) {
            problems.extend(id.parse::<Id>().ok().and_then(|id| images.snapshots().remove(&id).err()));
        }
        Ok(problems)
    };
    for problem in crate::blocking(work).await.unwrap_or_else(|error| vec![error]) {
        tracing::warn!(problem = %problem.chain(), "an orphan could not be removed");
    }
}

/// The names in a folder that are ids of no container that is known.
fn orphans(dir: &Path, known: &HashSet<String>) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.parse::<Id>().is_ok() && !known.contains(name)).collect()
}
