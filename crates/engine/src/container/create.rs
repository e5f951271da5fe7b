//! Making a container: everything is checked first, and whatever was made is unmade when a later step fails.

use std::sync::Arc;

use wharf_api::container::{
    CreateRequest, CreateResponse, HostConfig, MountType, Resources, RestartPolicyName, UpdateRequest,
};
use wharf_api::{List, Map};
use wharf_image::Image;
use wharf_runtime::paths;
use wharf_storage::Lease;
use wharf_types::{Error, Id, Platform, Result, validate_name};

use super::directory::Directory;
use super::record::Record;
use super::security::Security;
use super::snapshot::Snapshot;
use super::state::State;
use super::{Containers, copy_up, health, host, logging, merge, mounts, networking, rows, signal};
use crate::config::ContainerDefaults;
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
        let (record, warnings) = prepare(&self.services, &self.directory, id, name.clone(), request, &image)?;
        self.directory.hold_name(&name, id)?;
        let made = self.make(record, lease).await;
        if made.is_err() {
            self.directory.free_name(&name);
        }
        made?;
        Ok(CreateResponse { id: id.to_string(), warnings })
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
) -> Result<(Record, Vec<String>)> {
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
    services.config.daemon.apply(&mut host_config);
    let defaults = &services.config.containers;
    let warnings = host::adapt(&mut host_config, defaults)?;
    resolve_references(services, directory, &mut host_config)?;
    fill_in(&mut host_config, defaults)?;
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
    Ok((record, warnings))
}

/// Docker's rule for names, with its sentence.
pub fn check_name(name: &str) -> Result<String> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if validate_name(bare) {
        return Ok(bare.to_owned());
    }
    Err(Error::invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

/// Names of other containers become ids, and networks must exist: later renames must not change the meaning.
fn resolve_references(services: &Services, directory: &Directory, host: &mut HostConfig) -> Result<()> {
    for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode] {
        if let Some(name) = mode.strip_prefix("container:") {
            *mode = format!("container:{}", directory.find(name).map_err(|error| as_invalid(&error))?.id);
        }
    }
    for link in &host.links {
        let name = link.split(':').next().unwrap_or_default();
        if let Err(error) = directory.find(name) {
            return Err(Error::invalid(format!("could not get container for {name}: {error}")));
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
pub(super) fn fill_in(host: &mut HostConfig, defaults: &ContainerDefaults) -> Result<()> {
    let take = |own: &mut String, default: &str| {
        if own.is_empty() {
            default.clone_into(own);
        }
    };
    take(&mut host.log_config.driver, "json-file");
    if host.log_config.config.is_null() {
        host.log_config.config = Map::empty();
    }
    take(&mut host.ipc_mode, defaults.ipc_mode.as_deref().unwrap_or("private"));
    let cgroupns = if host.privileged { "host" } else { defaults.cgroupns_mode.as_deref().unwrap_or("private") };
    take(&mut host.cgroupns_mode, cgroupns);
    take(&mut host.runtime, "wharf");
    if host.shm_size == 0 {
        host.shm_size = defaults.shm_size.unwrap_or(64 << 20);
    }
    let limits = &mut host.resources;
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    if limits.oom_kill_disable.is_none() && host::Abilities::of_this_host().no_oom_kill {
        limits.oom_kill_disable = Some(false);
    }
    limits.pids_limit = limits.pids_limit.filter(|limit| *limit > 0);
    if host.security_opt.is_null() && (host.privileged || host.ipc_mode == "host" || host.pid_mode == "host") {
        // Labels would keep it from the host's own, which it is to have.
        host.security_opt = vec!["label=disable".to_owned()].into();
    }
    if !Security::of(host)?.unmasked {
        let list = |paths: &[&str]| -> List<String> { paths.iter().map(|path| (*path).to_owned()).collect() };
        if host.masked_paths.is_null() {
            host.masked_paths = list(&paths::DEFAULT_MASKED_PATHS);
        }
        if host.readonly_paths.is_null() {
            host.readonly_paths = list(&paths::DEFAULT_READONLY_PATHS);
        }
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
    own.pids_limit = own.pids_limit.filter(|limit| *limit > 0);
    record
}
