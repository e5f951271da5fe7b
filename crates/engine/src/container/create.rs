//! Making a container: everything is checked first, and whatever was made is unmade when a later step fails.

use std::sync::Arc;

use wharf_api::List;
use wharf_api::container::{
    CreateRequest, CreateResponse, HostConfig, MountType, Resources, RestartPolicyName, UpdateRequest,
};
use wharf_image::Image;
use wharf_runtime::paths;
use wharf_storage::Lease;
use wharf_types::{Error, Id, Platform, Result, validate_name};

use super::directory::Directory;
use super::record::Record;
use super::security::Security;
use super::snapshot::Snapshot;
use super::state::State;
use super::{Containers, copy_up, health, limits, logging, merge, mounts, networking, rows, signal, spec};
use crate::names;
use crate::services::Services;
use crate::store::Durability;

/// What a create has besides its body.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// The container's name; a random one where it is `None`.
    pub name: Option<String>,
    /// The platform that the image must be for.
    pub platform: Option<Platform>,
}

impl Containers {
    /// Makes a container.
    ///
    /// # Errors
    /// `NotFound` for an image that does not exist, `Conflict` for a name that is taken, `InvalidParameter` for what makes
    /// no sense. Nothing is left behind then.
    pub async fn create(&self, options: CreateOptions, request: CreateRequest) -> Result<CreateResponse> {
        let (image, lease) = self.image_for(&request, options.platform.as_ref())?;
        let id = names::fresh_id();
        let name = match options.name.filter(|name| !name.is_empty()) {
            Some(name) => check_name(&name)?,
            None => names::generate(|name| self.directory.has_name(name)),
        };
        let record = prepare(&self.services, &self.directory, id, name.clone(), request, &image)?;
        self.directory.hold_name(&name, id)?;
        let made = self.make(record, lease).await;
        if made.is_err() {
            self.directory.free_name(&name);
        }
        made?;
        Ok(CreateResponse { id: id.to_string(), warnings: Vec::new() })
    }

    fn image_for(&self, request: &CreateRequest, platform: Option<&Platform>) -> Result<(Arc<Image>, Lease)> {
        let name = request.config.image.as_str();
        if name.is_empty() {
            return Err(Error::invalid("no image was named").with_hint("name the image to run"));
        }
        let (image, lease) = self.services.images.store().resolve_leased(name)?;
        match platform {
            Some(platform) if !image.platform().satisfies(platform) => Err(Error::not_found(format!(
                "image with reference {name} was found but its platform ({}) does not match the specified platform ({platform})",
                image.platform()
            ))),
            _ => Ok((image, lease)),
        }
    }

    /// From here on something exists: volumes, folders, the row.
    async fn make(&self, mut record: Record, lease: Lease) -> Result<()> {
        let services = &self.services;
        let id = record.id;
        // No volume that it names is removed before it is known to use it.
        let _held = services.volumes.hold().await;
        let made = self.make_parts(&mut record).await;
        if let Err(error) = made {
            services.volumes.remove_anonymous(&record, |_| false).await;
            services.images.drop_lease(id);
            let images = services.images.clone();
            let removed = crate::blocking(move || images.snapshots().remove(&id)).await;
            if let Err(left) = removed {
                tracing::warn!(container = %id, error = %left.chain(), "left behind; the next engine removes it");
            }
            return Err(error);
        }
        services.images.hold(id, lease);
        let record = Arc::new(record);
        let snapshot = Snapshot::at_rest(Arc::clone(&record), State::Created, 0);
        self.adopt(snapshot, None);
        services.events.publish("container", "create", &id.to_string(), record.event_attributes());
        Ok(())
    }

    async fn make_parts(&self, record: &mut Record) -> Result<()> {
        let (services, id) = (&self.services, record.id);
        let paths: Vec<String> = record.config.volumes.keys().cloned().collect();
        let host = record.host_config.clone();
        mounts::resolve(services, &self.directory, &host, paths.iter(), &mut record.mounts).await?;
        self.find_images(record)?;
        if !record.mounts.is_empty() {
            let (layers, mounts) = (record.layers.clone(), record.mounts.clone());
            crate::blocking(move || copy_up::fill(&layers, &mounts)).await?;
        }
        // A rename, usually: sending that to another thread would take longer than doing it.
        tokio::task::block_in_place(|| services.images.snapshots().prepare(&id))?;
        services.monitors.refill(true, record.has_own_network());
        // A container that goes with its end need not outlive a power cut.
        let durability = if record.auto_remove() { Durability::Crash } else { Durability::Power };
        rows::insert(&services.store, record, durability).await
    }
}

impl Containers {
    /// The layers of images that are mounted, held for as long as the container exists.
    fn find_images(&self, record: &mut Record) -> Result<()> {
        for mount in record.mounts.iter_mut().filter(|mount| mount.kind == MountType::Image && mount.layers.is_empty())
        {
            let name = mount.source.display().to_string();
            let (image, lease) =
                self.services.images.store().resolve_leased(&name).map_err(|error| as_invalid(&error))?;
            self.services.images.hold(record.id, lease);
            (mount.layers, mount.diff_ids) = (image.layers.clone(), image.diff_ids().to_vec());
        }
        Ok(())
    }
}

/// Everything that can be decided without making anything.
fn prepare(
    services: &Services,
    directory: &Directory,
    id: Id,
    name: String,
    request: CreateRequest,
    image: &Image,
) -> Result<Record> {
    let mut config = merge::merge(request.config, image.config())?;
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        let path = &config.working_dir;
        return Err(Error::invalid(format!(
            "the working directory '{path}' is invalid, it needs to be an absolute path"
        )));
    }
    if !config.stop_signal.is_empty() {
        signal::parse(&config.stop_signal)?;
    }
    health::check(&config)?;
    let mut host_config = request.host_config.unwrap_or_default();
    check_host(&host_config)?;
    resolve_references(services, directory, &mut host_config)?;
    fill_in(&mut host_config)?;
    if host_config.network_mode == "host" && config.hostname.is_empty() {
        config.hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    }
    let mut record = Record {
        id,
        name,
        created: crate::time::now(),
        image: image.id,
        layers: image.layers.clone(),
        diff_ids: image.diff_ids().to_vec(),
        config,
        host_config,
        networking: request.networking_config.unwrap_or_default(),
        mounts: Vec::new(),
    };
    networking::resolve(&services.networks, &mut record).map_err(|error| match error.kind() {
        wharf_types::Kind::NotFound => as_invalid(&error),
        _ => error,
    })?;
    record.port_requests()?;
    logging::check(&record)?;
    Ok(record)
}

/// Docker's rule for names, with its sentence.
pub fn check_name(name: &str) -> Result<String> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if validate_name(bare) {
        return Ok(bare.to_owned());
    }
    Err(Error::invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

fn check_host(host: &HostConfig) -> Result<()> {
    limits::resources(&host.resources)?;
    limits::device_rules(&host.resources)?;
    spec::capabilities_of(host)?;
    Security::of(host)?;
    let policy = &host.restart_policy;
    if host.auto_remove && !matches!(policy.name, RestartPolicyName::Unset | RestartPolicyName::No) {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    if policy.maximum_retry_count < 0 {
        return Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    if policy.maximum_retry_count > 0 && policy.name != RestartPolicyName::OnFailure {
        return Err(Error::invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'"));
    }
    if host.shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    check_modes(host)?;
    match host.userns_mode.as_str() {
        "" | "host" => {}
        other => return Err(Error::invalid(format!("invalid user namespace mode: {other}"))),
    }
    match host.runtime.as_str() {
        "" | "wharf" | "runc" | "io.containerd.runc.v2" => Ok(()),
        other => Err(Error::invalid(format!("unknown or invalid runtime name: {other}"))),
    }
}

/// A mode that nobody knows must not end as the default.
fn check_modes(host: &HostConfig) -> Result<()> {
    let joins = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    for (what, mode, known) in [
        ("IPC", &host.ipc_mode, &["", "none", "host", "private", "shareable"][..]),
        ("PID", &host.pid_mode, &["", "host"]),
    ] {
        if !known.contains(&mode.as_str()) && !joins(mode) {
            return Err(Error::invalid(format!("invalid {what} mode: {mode}")));
        }
    }
    for (what, mode, known) in [
        ("UTS", &host.uts_mode, &["", "host"][..]),
        ("cgroup namespace", &host.cgroupns_mode, &["", "host", "private"]),
    ] {
        if !known.contains(&mode.as_str()) {
            return Err(Error::invalid(format!("invalid {what} mode: {mode}")));
        }
    }
    Ok(())
}

/// Names of other containers become ids, and networks must exist: later renames must not change the meaning.
fn resolve_references(services: &Services, directory: &Directory, host: &mut HostConfig) -> Result<()> {
    for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode] {
        if let Some(name) = mode.strip_prefix("container:") {
            *mode = format!("container:{}", directory.find(name).map_err(|error| as_invalid(&error))?.id);
        }
    }
    let published = !host.port_bindings.is_empty() || host.publish_all_ports;
    match host.network_mode.as_str() {
        "" | "default" => host.network_mode = "bridge".into(),
        mode if mode.starts_with("container:") && published => {
            return Err(Error::invalid("conflicting options: port publishing and the container type network mode"));
        }
        _ => {}
    }
    if let Some(name) = Some(host.network_mode.as_str()).filter(|mode| !mode.starts_with("container:")) {
        services.networks.find(name).map_err(|error| as_invalid(&error))?;
    }
    Ok(())
}

/// What a create names but is not there is a mistake of the request: `NotFound` makes Docker's CLI look for the image.
fn as_invalid(error: &Error) -> Error {
    let invalid = Error::invalid(error.to_string());
    match error.hint() {
        Some(hint) => invalid.with_hint(hint),
        None => invalid,
    }
}

/// The defaults that an inspect shows.
pub(super) fn fill_in(host: &mut HostConfig) -> Result<()> {
    let take = |own: &mut String, default: &str| {
        if own.is_empty() {
            default.clone_into(own);
        }
    };
    take(&mut host.log_config.driver, "json-file");
    take(&mut host.ipc_mode, "private");
    take(&mut host.cgroupns_mode, if host.privileged { "host" } else { "private" });
    take(&mut host.runtime, "wharf");
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
    let unmasked = Security::of(host)?.unmasked;
    let list = |paths: &[&str]| -> List<String> {
        if unmasked { List::empty() } else { paths.iter().map(|path| (*path).to_owned()).collect() }
    };
    if host.masked_paths.is_null() {
        host.masked_paths = list(&paths::DEFAULT_MASKED_PATHS);
    }
    if host.readonly_paths.is_null() {
        host.readonly_paths = list(&paths::DEFAULT_READONLY_PATHS);
    }
    Ok(())
}

/// The record after an update: what the request names is replaced, what it leaves at zero stays.
pub fn updated(record: &Record, request: &UpdateRequest) -> Record {
    let mut record = record.clone();
    if request.restart_policy.name != RestartPolicyName::Unset {
        record.host_config.restart_policy = request.restart_policy.clone();
    }
    let (own, new) = (&mut record.host_config.resources, &request.resources);
    macro_rules! take {
        ($($field:ident),*) => {
            $(if new.$field != Resources::default().$field { own.$field.clone_from(&new.$field); })*
        };
    }
    take!(
        cpu_shares,
        memory,
        nano_cpus,
        blkio_weight,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        pids_limit
    );
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_nobody_knows_are_refused() {
        let with = |ipc: &str, pid: &str, uts: &str| {
            let (ipc_mode, pid_mode, uts_mode) = (ipc.into(), pid.into(), uts.into());
            check_modes(&HostConfig { ipc_mode, pid_mode, uts_mode, ..HostConfig::default() })
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
}
