//! What an engine is told at its start.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use wharf_api::container::Ulimit;
use wharf_network::Subnet;
use wharf_network::ipam::{AddressPool, Allocator};
use wharf_registry::client::Settings;
use wharf_runtime::spec::IdMapping;
use wharf_types::{Error, Result};

use crate::container::DaemonDefaults;
use crate::network::Pool;

/// Where an engine keeps its things and how it names them in the kernel.
#[derive(Debug, Clone)]
pub struct Config {
    /// What must outlast a reboot: images, layers, containers, volumes, the database.
    pub root: PathBuf,
    /// What a reboot may clear: monitor sockets and exit records.
    pub run: PathBuf,
    /// Cgroup below which containers are placed, from each hierarchy's root; the default is `/wharf/ENGINE-ID`.
    pub cgroup_parent: Option<String>,
    /// Name of the default network's bridge; derived from the engine's id where absent.
    pub bridge: Option<String>,
    /// Address of the default network's bridge and length of its prefix; a free subnet is chosen where absent.
    pub bridge_address: Option<(Ipv4Addr, u8)>,
    /// Name servers for containers; the host's where empty.
    pub dns: Vec<String>,
    /// How registries are spoken to.
    pub registries: Settings,
    /// How many layers are downloaded at once.
    pub downloads: usize,
    /// How many layers are uploaded at once.
    pub uploads: usize,
    /// Whether blobs of layers are given up once they are unpacked, where the layer can make the same bytes again.
    pub give_up_blobs: bool,
    /// What networks are like unless they say otherwise.
    pub network: NetworkDefaults,
    /// What containers are like unless they say otherwise.
    pub containers: ContainerDefaults,
    /// Logs, privileges and names of containers that say nothing else.
    pub daemon: DaemonDefaults,
    /// What may change while the engine runs.
    pub changeable: Changeable,
}

/// What containers are like unless they say otherwise.
#[derive(Debug, Clone, Default)]
pub struct ContainerDefaults {
    /// Limits per process.
    pub ulimits: Vec<Ulimit>,
    /// Size of /dev/shm in bytes.
    pub shm_size: Option<i64>,
    /// `private` or `shareable`.
    pub ipc_mode: Option<String>,
    /// `private` or `host`.
    pub cgroupns_mode: Option<String>,
    /// Whether a small init is the first process.
    pub init: bool,
    /// The host's users behind those of containers; `None` is the same ones. See [`crate::remap_users`].
    pub users: Option<IdMapping>,
    /// Folders with descriptions of CDI devices, the later ones first; /etc/cdi and /var/run/cdi where empty.
    pub cdi_folders: Vec<PathBuf>,
}

impl ContainerDefaults {
    /// The folders in which CDI devices are looked for.
    pub(crate) fn cdi_folders(&self) -> Vec<PathBuf> {
        match &self.cdi_folders[..] {
            [] => crate::container::CDI_FOLDERS.iter().map(PathBuf::from).collect(),
            own => own.to_vec(),
        }
    }
}

/// Settings that a running engine takes over, see [`crate::Engine::reload`].
#[derive(Debug, Clone, Default)]
pub struct Changeable {
    /// What the engine says of itself in `info`.
    pub labels: Vec<String>,
    /// Whether it says everything that it does.
    pub debug: bool,
}

/// What networks are like unless they say otherwise. All but the pools is about the default network alone.
#[derive(Debug, Clone, Default)]
pub struct NetworkDefaults {
    /// Where subnets of networks are taken from that name none; Docker's pools where empty.
    pub address_pools: Vec<AddressPool>,
    /// Maximum transmission unit in bytes; the uplink's where absent.
    pub mtu: Option<u32>,
    /// The parts of its subnets from which containers get their addresses.
    pub ranges: Vec<Subnet>,
    /// Whether its containers have IPv6 addresses, too.
    pub ipv6: bool,
    /// Keeps its containers from reaching each other.
    pub no_icc: bool,
    /// Lets its packets leave the host with the containers' addresses.
    pub no_masquerade: bool,
}

impl NetworkDefaults {
    /// Sets ranges in the subnets that were chosen. An IPv6 range outside of them is a subnet of its own.
    ///
    /// # Errors
    /// `InvalidParameter` for a range outside.
    pub(crate) fn apply(&self, pools: &mut [Pool]) -> Result<()> {
        for range in &self.ranges {
            let pool = pools.iter_mut().find(|pool| pool.subnet.is_ipv4() == range.is_ipv4());
            match pool {
                Some(pool) if pool.subnet.contains(range.address()) && range.prefix() >= pool.subnet.prefix() => {
                    pool.range = Some(*range);
                }
                Some(pool) if !range.is_ipv4() => {
                    let gateway = Some(Allocator::default_gateway(*range, None)?);
                    *pool = Pool { subnet: *range, range: None, gateway, reserved: Vec::new() };
                }
                _ => return Err(outside(&format!("the range {range}"))),
            }
        }
        Ok(())
    }
}

fn outside(what: &str) -> Error {
    Error::invalid(format!("{what} lies outside the subnets of the default network"))
        .with_hint("give the bridge an address in it (--bip, --bridge-subnet)")
}

impl Config {
    /// An engine with everything at its default below the two folders.
    pub fn new(root: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            run: run.into(),
            cgroup_parent: None,
            bridge: None,
            bridge_address: None,
            dns: Vec::new(),
            registries: Settings::default(),
            downloads: DEFAULT_DOWNLOADS,
            uploads: DEFAULT_UPLOADS,
            give_up_blobs: false,
            network: NetworkDefaults::default(),
            containers: ContainerDefaults::default(),
            daemon: DaemonDefaults::default(),
            changeable: Changeable::default(),
        }
    }

    /// Folder of one container's lasting files.
    pub(crate) fn container_dir(&self, id: impl std::fmt::Display) -> PathBuf {
        self.containers_dir().join(id.to_string())
    }

    /// Folder of all containers' lasting files.
    pub(crate) fn containers_dir(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Folder of one container's monitor.
    pub(crate) fn monitor_dir(&self, id: impl std::fmt::Display) -> PathBuf {
        self.monitors_dir().join(id.to_string())
    }

    /// Folder of all monitors.
    pub(crate) fn monitors_dir(&self) -> PathBuf {
        self.run.join("c")
    }

    /// Folder of the files with the names of containers on networks.
    pub(crate) fn names_dir(&self) -> PathBuf {
        self.run.join("names")
    }

    /// Folder of the named volumes.
    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Folder of what builds keep: contexts and cache mounts.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.root.join("build")
    }

    /// The state database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// Whether this is the machine's default engine, whose bridge has a name that people know.
    pub(crate) fn is_default(&self) -> bool {
        self.root == Path::new(DEFAULT_ROOT)
    }
}

/// How many layers are downloaded at once, as dockerd does it.
pub const DEFAULT_DOWNLOADS: usize = 3;
/// How many layers are uploaded at once, as dockerd does it.
pub const DEFAULT_UPLOADS: usize = 5;
/// Where the machine's default engine keeps what must outlast a reboot.
pub const DEFAULT_ROOT: &str = "/var/lib/wharf";
/// Where the machine's default engine keeps what a reboot may clear.
pub const DEFAULT_RUN: &str = "/run/wharf";
/// The socket of the machine's default engine.
pub const DEFAULT_SOCKET: &str = "/run/wharf.sock";
