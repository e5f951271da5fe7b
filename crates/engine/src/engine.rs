//! The engine as a whole: opened, used, closed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Savepoint;
use rustix::fs::{FlockOperation, fcntl_lock};
use wharf_monitor::Reserve;
use wharf_runtime::cgroup::Group;
use wharf_types::{Error, Result, ResultExt};

use crate::build::Builds;
use crate::config::{Changeable, Config};
use crate::container::sandbox::Steps;
use crate::container::{Containers, Directory};
use crate::event::Events;
use crate::image::Images;
use crate::network::Networks;
use crate::services::{Identity, SHARED_CGROUP, Services};
use crate::store::{Durability, Store};
use crate::volume::Volumes;
use crate::{names, reconcile};

/// An engine: the doors to everything that it keeps. Clones share it.
#[derive(Clone)]
pub struct Engine {
    services: Services,
    containers: Containers,
    builds: Builds,
    /// Held as long as the engine lives: two engines on one root would destroy it.
    _lock: Arc<File>,
}

impl Engine {
    /// Opens the engine on its folders, making what is missing, and takes over the containers that live.
    ///
    /// # Errors
    /// `Conflict` when another engine works on the same root; `Forbidden` without the privileges that containers need.
    pub async fn open(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let prepared = Arc::clone(&config);
        let events = Events::default();
        let for_images = events.clone();
        let (lock, store, images, executable) = crate::blocking(move || prepare(&prepared, &for_images)).await?;
        let changeable = RwLock::new(config.changeable.clone());
        let identity = Arc::new(Identity { id: own_id(&store).await?, changeable });
        let networks = Networks::open(&config, &identity.id, &store, &events).await?;
        let volumes = Volumes::open(config.volumes_dir(), config.run.join("plugins"), &store, &events).await?;
        let (directory, steps) = (Directory::default(), Steps::default());
        // Through a mount that nobody can write to, and with room for a container's id.
        let monitors = Reserve::new(executable, config.monitor_dir(names::fresh_id()));
        let services =
            Services { config, identity, store, images, networks, volumes, events, monitors, directory, steps };
        let containers = Containers::new(services.clone());
        // Before reconciliation collects what nobody holds: the cache holds its layers.
        let builds = Builds::open(&services).await?;
        reconcile::run(&services, &containers).await?;
        Ok(Self { services, containers, builds, _lock: Arc::new(lock) })
    }

    /// Containers.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Builds.
    pub fn builds(&self) -> &Builds {
        &self.builds
    }

    /// Images.
    pub fn images(&self) -> &Images {
        &self.services.images
    }

    /// Networks.
    pub fn networks(&self) -> &Networks {
        &self.services.networks
    }

    /// Volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.services.volumes
    }

    /// The event bus.
    pub fn events(&self) -> &Events {
        &self.services.events
    }

    /// Where things are.
    pub fn config(&self) -> &Config {
        &self.services.config
    }

    /// Takes over settings that may change: what the engine says of itself and how registries are spoken to. What is under
    /// way goes on with the old ones.
    pub fn reload(&self, changeable: Changeable, registries: wharf_registry::client::Settings) {
        let labels = changeable.labels.join(",");
        let attributes = [("debug", changeable.debug.to_string()), ("labels", labels)];
        *self.services.identity.changeable.write().unwrap_or_else(PoisonError::into_inner) = changeable;
        self.services.images.use_registries(registries);
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        self.services.events.publish("daemon", "reload", self.id(), attributes);
    }

    /// The settings that may change, as they are now.
    pub fn settings(&self) -> Changeable {
        self.services.identity.settings()
    }

    /// Twelve hexadecimal digits that the names of this engine's things in the kernel carry.
    pub fn id(&self) -> &str {
        &self.services.identity.id
    }

    /// Ends in good order. Containers that live go on; if none does, nothing of the engine is left in the kernel.
    pub async fn close(&self) {
        // Gone already is as good.
        drop(std::fs::remove_file(self.config().run.join("engine.pid")));
        self.services.steps.end().await;
        let images = self.services.images.clone();
        if let Err(error) = crate::blocking(move || images.snapshots().end_stock()).await {
            tracing::warn!(error = %error.chain(), "left behind at the engine's end");
        }
        if self.containers.any_live() {
            return;
        }
        for problem in self.services.networks.take_down(true).await {
            tracing::warn!(problem = %problem.chain(), "left behind at the engine's end");
        }
        let parent = self.services.cgroup_parent();
        let removed = crate::blocking(move || {
            Group::open(&parent)?.remove()?;
            // The last engine of the host takes the folder that all share.
            Group::open(SHARED_CGROUP)?.remove_if_empty();
            Ok(())
        })
        .await;
        if let Err(error) = removed {
            tracing::warn!(error = %error.chain(), "the engine's cgroup was not removed");
        }
    }
}

/// What needs no other part of the engine: folders, lock, database, images, the executable.
fn prepare(config: &Config, events: &Events) -> Result<(File, Store, Images, OwnedFd)> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::forbidden("the engine needs root").with_hint("run it with sudo"));
    }
    for dir in [&config.root, &config.run, &config.containers_dir(), &config.monitors_dir(), &config.volumes_dir()] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    restrict(&config.root)?;
    restrict(&config.run)?;
    let lock = lock(config)?;
    let store = Store::open(&config.database())?;
    let images = Images::open(config, events)?;
    let executable = wharf_sys::exe::self_exe_readonly().context("cannot open the engine's own executable")?;
    Ok((lock, store, images, executable))
}

/// Others may pass through but not look around, as with Docker's folders.
fn restrict(dir: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
        .with_context(|| format!("cannot set the mode of {}", dir.display()))
}

/// A lock of this process alone: one of the open file (flock) would outlive a killed engine for as long as a child between
/// fork and execve has the file, too. It goes with the first descriptor of the file that is closed, so nobody else opens it.
fn lock(config: &Config) -> Result<File> {
    let path = config.root.join("engine.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Error::conflict(format!("another engine works on {}", config.root.display()))
            .with_hint("use that one, or give this one a --root of its own")
    })?;
    let pid_file = config.run.join("engine.pid");
    std::fs::write(&pid_file, format!("{}\n", std::process::id()))
        .with_context(|| format!("cannot write {}", pid_file.display()))?;
    Ok(file)
}

/// The engine's id, chosen at its first start.
async fn own_id(store: &Store) -> Result<String> {
    let fresh = names::fresh_id().prefix(12);
    let choose = move |s: &Savepoint<'_>| {
        s.execute("INSERT OR IGNORE INTO meta VALUES ('engine-id', ?1)", [&fresh])?;
        s.query_row("SELECT value FROM meta WHERE key = 'engine-id'", [], |row| row.get::<_, String>(0))
    };
    store.write(Durability::Power, choose).await
}
