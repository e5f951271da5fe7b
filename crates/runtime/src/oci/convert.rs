//! From `config.json` to what the runtime carries out. Everything that can be wrong is found here, before anything is made.

use std::path::Path;

use wharf_types::{Error, Result};

use super::cgroup_path;
use super::config::{self, Config, Linux};
use super::resources::{device_rules, resources};
use super::{mounts, process};
use crate::spec::{
    Cgroup, ContainerSpec, Device, Hooks, IdMapping, Namespace, Namespaces, Propagation, RootFs, TimeNamespace,
    UserNamespace,
};

/// What is said besides the bundle.
#[derive(Debug, Clone)]
pub(super) struct Around<'a> {
    pub(super) id: &'a str,
    pub(super) bundle: &'a Path,
    pub(super) systemd_cgroup: bool,
    pub(super) no_pivot: bool,
    pub(super) no_new_keyring: bool,
    pub(super) kept_descriptors: u32,
}

/// The container that a bundle describes.
pub(super) fn container(config: &Config, around: &Around<'_>) -> Result<ContainerSpec> {
    check_version(&config.oci_version)?;
    let linux = config.linux.clone().unwrap_or_default();
    if linux.intel_rdt.is_some() {
        return Err(Error::not_implemented("linux.intelRdt is not supported").with_hint("leave it out of config.json"));
    }
    let root = config.root.as_ref().ok_or_else(|| Error::invalid("config.json: root is missing"))?;
    let wanted = config.process.as_ref().ok_or_else(|| Error::invalid("config.json: process is missing"))?;
    let mut process = process::process(wanted, linux.seccomp.as_ref())?;
    process.personality = linux.personality.as_ref().map(process::personality).transpose()?;
    process.keep_keyring = around.no_new_keyring;
    process.kept_descriptors = around.kept_descriptors;
    let root_propagation = root_propagation(&linux.rootfs_propagation)?;
    let wanted = linux.resources.clone().unwrap_or_default();
    let hooks = config.hooks.clone().unwrap_or_default();
    Ok(ContainerSpec {
        id: around.id.to_owned(),
        root: RootFs::Directory(around.bundle.join(&root.path)),
        readonly_root: root.readonly,
        mounts: mounts::mounts(config, around.bundle, root_propagation)?,
        process,
        namespaces: namespaces(config, &linux)?,
        hostname: config.hostname.clone(),
        domainname: Some(config.domainname.clone()).filter(|name| !name.is_empty()),
        cgroup: Cgroup {
            path: cgroup_path::resolve(&linux.cgroups_path, around.id, around.systemd_cgroup)?,
            resources: resources(&wanted)?,
        },
        devices: linux.devices.iter().map(device).collect::<Result<_>>()?,
        device_rules: device_rules(&wanted.devices)?,
        sysctls: linux.sysctl.clone(),
        masked_paths: linux.masked_paths.clone(),
        readonly_paths: linux.readonly_paths.clone(),
        root_propagation,
        exact: true,
        no_pivot: around.no_pivot,
        hooks: Hooks { create_container: hooks.create_container, start_container: hooks.start_container },
        ..ContainerSpec::default()
    })
}

/// Any 1.x is understood; what is new in a later one is passed over.
fn check_version(version: &str) -> Result<()> {
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(Error::invalid(format!("config.json: unsupported ociVersion {version:?}"))),
    }
}

fn root_propagation(word: &str) -> Result<Propagation> {
    match word {
        "" => Ok(Propagation::Rprivate),
        word => mounts::propagation(word)
            .ok_or_else(|| Error::invalid(format!("config.json: invalid rootfsPropagation {word:?}"))),
    }
}

fn namespaces(config: &Config, linux: &Linux) -> Result<Namespaces> {
    let mut found = Namespaces {
        pid: Namespace::Host,
        ipc: Namespace::Host,
        uts: Namespace::Host,
        network: Namespace::Host,
        cgroup: Namespace::Host,
        ..Namespaces::default()
    };
    let mut has_mount = false;
    let mut seen: Vec<&str> = Vec::new();
    for config::Namespace { kind, path } in &linux.namespaces {
        if seen.contains(&kind.as_str()) {
            return Err(Error::invalid(format!("config.json: namespace {kind:?} is listed twice")));
        }
        seen.push(kind);
        let path = path.clone().filter(|path| !path.as_os_str().is_empty());
        let wanted = path.clone().map_or(Namespace::New, Namespace::Path);
        match kind.as_str() {
            "pid" => found.pid = wanted,
            "ipc" => found.ipc = wanted,
            "uts" => found.uts = wanted,
            "network" => found.network = wanted,
            "cgroup" => found.cgroup = wanted,
            "mount" => {
                has_mount = true;
                found.mount = path;
            }
            "user" => {
                let mapping = IdMapping { uids: linux.uid_mappings.clone(), gids: linux.gid_mappings.clone() };
                found.user = Some(path.map_or(UserNamespace::New(mapping), UserNamespace::Path));
            }
            "time" => {
                let offset = |(clock, offset): (&String, &config::TimeOffset)| match clock.as_str() {
                    "monotonic" | "boottime" => Ok((clock.clone(), offset.secs, offset.nanosecs)),
                    other => Err(Error::invalid(format!("config.json: there is no clock {other:?}"))),
                };
                let offsets = linux.time_offsets.iter().map(offset).collect::<Result<_>>()?;
                found.time = Some(path.map_or(TimeNamespace::New(offsets), TimeNamespace::Path));
            }
            other => return Err(Error::invalid(format!("config.json: unknown namespace {other:?}"))),
        }
    }
    if !has_mount {
        return Err(Error::invalid("config.json: a mount namespace is needed")
            .with_hint("add {\"type\": \"mount\"} to linux.namespaces"));
    }
    if found.user.is_none() && !(linux.uid_mappings.is_empty() && linux.gid_mappings.is_empty()) {
        return Err(Error::invalid("config.json: id mappings need a user namespace"));
    }
    if found.time.is_none() && !linux.time_offsets.is_empty() {
        return Err(Error::invalid("config.json: timeOffsets need a time namespace"));
    }
    if found.uts == Namespace::Host && !(config.hostname.is_empty() && config.domainname.is_empty()) {
        return Err(Error::invalid("unable to set hostname without a private UTS namespace"));
    }
    Ok(found)
}

fn device(wanted: &config::Device) -> Result<Device> {
    let block = match wanted.kind.as_str() {
        "b" => true,
        "c" | "u" => false,
        other => return Err(Error::not_implemented(format!("device type {other:?} is not supported"))),
    };
    let number = |value: i64| {
        u32::try_from(value).map_err(|_| Error::invalid(format!("invalid device number {value} of {}", wanted.path)))
    };
    Ok(Device {
        path: wanted.path.clone(),
        block,
        major: number(wanted.major)?,
        minor: number(wanted.minor)?,
        mode: wanted.file_mode.unwrap_or(0o666),
        uid: wanted.uid.unwrap_or(0),
        gid: wanted.gid.unwrap_or(0),
        // A node is not a permission: those are in linux.resources.devices.
        access: String::new(),
    })
}
