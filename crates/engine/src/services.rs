//! The handles that a container's owner works with.

use std::sync::{Arc, PoisonError, RwLock};

use wharf_monitor::Reserve;

use crate::config::{Changeable, Config};
use crate::container::Directory;
use crate::container::sandbox::Steps;
use crate::event::Events;
use crate::image::Images;
use crate::network::Networks;
use crate::store::Store;
use crate::volume::Volumes;

/// One of each; clones share them.
#[derive(Clone)]
pub struct Services {
    /// Where things are.
    pub config: Arc<Config>,
    /// The engine's own identity.
    pub identity: Arc<Identity>,
    /// The state database.
    pub store: Store,
    /// Images and layers.
    pub images: Images,
    /// Networks, addresses, ports.
    pub networks: Networks,
    /// Volumes.
    pub volumes: Volumes,
    /// The event bus.
    pub events: Events,
    /// Makes containers' monitors.
    pub monitors: Reserve,
    /// Who is there.
    pub directory: Directory,
    /// Commands of builds that run or are being cleared away.
    pub steps: Steps,
}

/// Cgroup of all engines of the host that were not told otherwise, from each hierarchy's root.
pub const SHARED_CGROUP: &str = "/wharf";

/// Who this engine is.
pub struct Identity {
    /// Twelve hexadecimal digits that the names of its things in the kernel carry.
    pub id: String,
    /// The settings that may change.
    pub changeable: RwLock<Changeable>,
}

impl Identity {
    /// The settings as they are now.
    pub fn settings(&self) -> Changeable {
        self.changeable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Services {
    /// The cgroup above those of the containers, below every hierarchy's root.
    pub fn cgroup_parent(&self) -> String {
        self.config.cgroup_parent.clone().unwrap_or_else(|| format!("{SHARED_CGROUP}/{}", self.identity.id))
    }

    /// The cgroup of a container, below `parent` where the person asked for one.
    pub fn cgroup_of(&self, parent: Option<&str>, container: impl std::fmt::Display) -> String {
        let parent = parent.map_or_else(|| self.cgroup_parent(), |parent| format!("/{}", parent.trim_matches('/')));
        format!("{}/{container}", parent.trim_end_matches('/'))
    }
}
