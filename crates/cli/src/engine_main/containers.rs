//! The flags about containers, the same for `wharf engine` and `dockerd`.

use std::path::PathBuf;

use clap::Args;
use wharf_api::container::Ulimit;
use wharf_engine::ContainerDefaults;
use wharf_types::Result;

use crate::grammar::{number, ulimit};

/// What containers are like unless they say otherwise.
#[derive(Debug, Clone, Default, Args)]
pub struct ContainerFlags {
    /// Limit per process of containers that set none: nofile=1024:2048 (repeatable)
    #[arg(long, value_name = "ulimit", value_parser = ulimit::parse)]
    default_ulimit: Vec<Ulimit>,
    /// Size of /dev/shm of containers that set none
    #[arg(long, value_name = "bytes", value_parser = number::bytes)]
    default_shm_size: Option<i64>,
    /// IPC mode of containers that set none
    #[arg(long, value_name = "string", value_parser = ["private", "shareable"])]
    default_ipc_mode: Option<String>,
    /// Cgroup namespace mode of containers that set none
    #[arg(long, value_name = "string", value_parser = ["private", "host"])]
    default_cgroupns_mode: Option<String>,
    /// Run a small init as the first process of containers that do not say
    #[arg(long)]
    init: bool,
    /// Put other users of the host behind those of containers: default, or user[:group] of /etc/subuid and /etc/subgid
    #[arg(long, value_name = "string")]
    userns_remap: Option<String>,
    /// Folder with descriptions of CDI devices, in JSON; a later one counts first (repeatable) [default: /etc/cdi, /var/run/cdi]
    #[arg(long, value_name = "list")]
    cdi_spec_dir: Vec<PathBuf>,
}

impl ContainerFlags {
    /// As the engine wants it.
    ///
    /// # Errors
    /// `InvalidParameter` for users that have no range of ids.
    pub fn defaults(&self) -> Result<ContainerDefaults> {
        let remap = self.userns_remap.as_deref().filter(|text| !text.is_empty());
        Ok(ContainerDefaults {
            ulimits: self.default_ulimit.clone(),
            shm_size: self.default_shm_size.filter(|size| *size > 0),
            ipc_mode: self.default_ipc_mode.clone(),
            cgroupns_mode: self.default_cgroupns_mode.clone(),
            init: self.init,
            users: remap.map(wharf_engine::remap_users).transpose()?,
            cdi_folders: self.cdi_spec_dir.clone(),
        })
    }
}
