//! From a record to what the monitor carries out: every name resolved, every default filled in.

use std::path::PathBuf;

use wharf_api::container::{HostConfig, MountType, Ulimit};
use wharf_monitor::protocol::{MonitorSpec, NamesPlan};
use wharf_network::plan::SandboxPlan;
use wharf_runtime::spec::{
    Cgroup, ContainerSpec, Mount, MountSource, Namespace, Namespaces, Owners, Process, Propagation, RootFs,
    UserNamespace,
};
use wharf_runtime::{capabilities, paths};
use wharf_types::{Error, Result};

use super::record::{MountRecord, Record};
use super::security::Security;
use super::{cdi, files, health, host as host_rules, limits, logging};
use crate::services::Services;

/// Docker's default for containers whose image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a tmpfs has unless its own options, which come later, say otherwise.
const TMPFS_OPTIONS: [&str; 3] = ["noexec", "nosuid", "nodev"];
/// Size of /dev/shm in bytes unless asked otherwise.
const DEFAULT_SHM: u64 = 64 << 20;

/// The monitor's orders for one run of a container.
pub fn build(
    services: &Services,
    record: &Record,
    sandbox: SandboxPlan,
    names: Option<NamesPlan>,
) -> Result<MonitorSpec> {
    let host = &record.host_config;
    let defaults = &services.config.containers;
    host_rules::sysctls(host)?;
    let security = Security::of(host)?;
    let snapshot = services.images.snapshots().get(&record.id);
    let mut container = ContainerSpec {
        id: record.id.to_string(),
        root: RootFs::Overlay {
            lower: record.layers.clone(),
            upper: snapshot.upper,
            work: snapshot.work,
            volatile: false,
        },
        readonly_root: host.readonly_rootfs,
        mounts: mounts(services, record)?,
        shm_size: u64::try_from(host.shm_size).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_SHM),
        process: process(record, &security, &defaults.ulimits)?,
        namespaces: namespaces(services, record, &sandbox)?,
        hostname: record.hostname(),
        domainname: Some(record.config.domainname.clone()).filter(|name| !name.is_empty()),
        cgroup: Cgroup {
            path: services.cgroup_of(record.cgroup_parent(), record.id),
            resources: limits::resources(&host.resources)?,
        },
        devices: limits::devices(&host.resources)?,
        device_rules: limits::device_rules(&host.resources)?,
        sysctls: host.sysctls.iter().filter(|(name, _)| !name.starts_with("net.")).map(pair).collect(),
        masked_paths: listed(&host.masked_paths, &paths::DEFAULT_MASKED_PATHS, security.unmasked),
        readonly_paths: listed(&host.readonly_paths, &paths::DEFAULT_READONLY_PATHS, security.unmasked),
        privileged: host.privileged,
        root_propagation: root_propagation(record),
        init: host.init.unwrap_or(defaults.init),
        ..ContainerSpec::default()
    };
    if !host.resources.device_requests.is_empty() {
        cdi::inject(&host.resources.device_requests, &defaults.cdi_folders(), &mut container)?;
    }
    Ok(MonitorSpec {
        container,
        sandbox,
        log: logging::plan(services, record)?,
        log_stdin: logging::with_stdin(record)?,
        open_stdin: record.config.open_stdin,
        stdin_once: record.config.stdin_once,
        health: health::plan(record)?,
        names,
    })
}

fn process(record: &Record, security: &Security, ulimits: &[Ulimit]) -> Result<Process> {
    let (config, host) = (&record.config, &record.host_config);
    let capabilities = capabilities_of(host)?;
    Ok(Process {
        argv: record.argv(),
        env: environment(record, &config.env, config.tty),
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        user: config.user.clone(),
        additional_groups: host.group_add.to_vec(),
        umask: None,
        tty: config.tty,
        tty_size: Some((host.console_size[0], host.console_size[1])).filter(|size| *size != (0, 0)),
        seccomp: security.seccomp.clone().precompiled(&capabilities)?,
        capabilities,
        no_new_privileges: security.no_new_privileges,
        rlimits: limits::rlimits(&host.resources, ulimits),
        oom_score_adj: Some(host.oom_score_adj).filter(|adjustment| *adjustment != 0),
        apparmor_profile: security.apparmor.clone(),
        selinux_label: security.selinux.clone(),
        ..Process::default()
    })
}

/// Docker's own variables first, then those of the container, of which `NAME` alone removes one.
pub fn environment(record: &Record, own: &[String], tty: bool) -> Vec<String> {
    let mut all = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={}", record.hostname())];
    if tty {
        all.push("TERM=xterm".into());
    }
    overlay_environment(&mut all, own);
    all
}

/// Replaces, appends and (for `NAME` alone) removes variables.
pub fn overlay_environment(all: &mut Vec<String>, own: &[String]) {
    for variable in own {
        let (name, is_set) = match variable.split_once('=') {
            Some((name, _)) => (name, true),
            None => (variable.as_str(), false),
        };
        let at = all.iter().position(|have| have.split('=').next() == Some(name));
        match (at, is_set) {
            (Some(at), true) => all[at].clone_from(variable),
            (Some(at), false) => drop(all.remove(at)),
            (None, true) => all.push(variable.clone()),
            (None, false) => {}
        }
    }
}

/// The default set with what the person adds and drops; everything when privileged.
pub fn capabilities_of(host: &HostConfig) -> Result<Vec<String>> {
    let bare = |name: &String, list: &str| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        let known = bare == "ALL" || capabilities::number(&bare).is_some();
        if known {
            Ok(bare)
        } else {
            Err(Error::invalid(format!("invalid {list}: unknown capability: \"CAP_{bare}\"")))
        }
    };
    let add = host.cap_add.iter().map(|name| bare(name, "CapAdd")).collect::<Result<Vec<_>>>()?;
    let dropped = host.cap_drop.iter().map(|name| bare(name, "CapDrop")).collect::<Result<Vec<_>>>()?;
    let all = || capabilities::ALL.iter().map(|name| (*name).to_owned());
    if host.privileged {
        return Ok(all().collect());
    }
    let contains = |list: &[String], name: &str| list.iter().any(|have| have == name);
    let is_default = |name: &str| capabilities::DEFAULT_CAPABILITIES.contains(&name);
    let wanted = |name: &String| {
        let by_name = contains(&add, name) && !contains(&dropped, name);
        let by_all = contains(&add, "ALL") && !contains(&dropped, name);
        let by_default = is_default(name) && !contains(&dropped, name) && !contains(&dropped, "ALL");
        by_name || by_all || by_default
    };
    Ok(all().filter(wanted).collect())
}

fn namespaces(services: &Services, record: &Record, sandbox: &SandboxPlan) -> Result<Namespaces> {
    let (directory, host) = (&services.directory, &record.host_config);
    let of = |mode: &str, kind: &str| match mode {
        "host" => Ok(Namespace::Host),
        other => match other.strip_prefix("container:") {
            Some(container) => directory.namespace_of(container, kind).map(Namespace::Path),
            None => Ok(Namespace::New),
        },
    };
    Ok(Namespaces {
        pid: of(&host.pid_mode, "pid")?,
        ipc: of(&host.ipc_mode, "ipc")?,
        uts: of(&host.uts_mode, "uts")?,
        network: match sandbox {
            SandboxPlan::Host => Namespace::Host,
            SandboxPlan::Join(path) => Namespace::Path(path.clone()),
            // The monitor makes it and starts the container in it.
            SandboxPlan::Own { .. } => Namespace::New,
        },
        cgroup: match host.cgroupns_mode.as_str() {
            "host" => Namespace::Host,
            "" if host.privileged => Namespace::Host,
            _ => Namespace::New,
        },
        user: user_namespace(services, record)?,
        ..Namespaces::default()
    })
}

/// Where users are remapped: a namespace of its own, or that of the container whose other namespaces it shares, which
/// belong to that one.
fn user_namespace(services: &Services, record: &Record) -> Result<Option<UserNamespace>> {
    let host = &record.host_config;
    let Some(mapping) = services.config.containers.users.as_ref().filter(|_| host.userns_mode != "host") else {
        return Ok(None);
    };
    let modes = [&host.network_mode, &host.ipc_mode, &host.pid_mode];
    match modes.into_iter().find_map(|mode| mode.strip_prefix("container:")) {
        Some(other) => Ok(Some(UserNamespace::Path(services.directory.namespace_of(other, "user")?))),
        None => Ok(Some(UserNamespace::New(mapping.clone()))),
    }
}

fn mounts(services: &Services, record: &Record) -> Result<Vec<Mount>> {
    let dir = services.config.container_dir(record.id);
    let is_taken = |path: &str| record.mounts.iter().any(|mount| mount.destination == path);
    let managed = files::MANAGED.iter().filter(|(_, path)| !is_taken(path));
    let mut all: Vec<Mount> = managed.map(|(name, path)| managed_file(dir.join(name), path)).collect();
    for mount in &record.mounts {
        all.push(user_mount(mount)?);
    }
    if services.config.containers.users.is_some() && record.host_config.userns_mode != "host" {
        let own = record.mounts.iter().filter(|mount| mount.volume.is_some()).map(|mount| mount.destination.as_str());
        let own: Vec<&str> =
            own.chain(files::MANAGED.iter().map(|(_, path)| *path).filter(|path| !is_taken(path))).collect();
        // What the engine keeps for containers has the same owners on disk whoever is root in them; the host's own
        // files, which they are given by path, stay the host's users'.
        for mount in all.iter_mut().filter(|mount| own.contains(&mount.destination.as_str())) {
            mount.owners = Some(Owners { mapping: None, recursive: false });
        }
    }
    // Parents before what is mounted inside them.
    all.sort_by_key(|mount| mount.destination.matches('/').count());
    Ok(all)
}

fn managed_file(path: PathBuf, destination: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        source: MountSource::Bind { path, recursive: true },
        readonly: false,
        readonly_recursive: false,
        propagation: Propagation::Rprivate,
        options: Vec::new(),
        ..Mount::default()
    }
}

fn user_mount(mount: &MountRecord) -> Result<Mount> {
    let source = match mount.kind {
        MountType::Tmpfs => MountSource::Tmpfs,
        MountType::Image => MountSource::Layers { lower: mount.layers.clone(), subpath: mount.subpath.clone().into() },
        _ if !mount.subpath.is_empty() => {
            MountSource::Within { path: mount.source.clone(), subpath: mount.subpath.clone().into() }
        }
        _ => MountSource::Bind { path: mount.source.clone(), recursive: !mount.non_recursive },
    };
    Ok(Mount {
        destination: mount.destination.clone(),
        source,
        readonly: !mount.writable,
        readonly_recursive: !mount.writable && mount.kind == MountType::Bind && !mount.read_only_top,
        propagation: propagation(&mount.propagation)?,
        options: match mount.kind {
            MountType::Tmpfs => {
                TMPFS_OPTIONS.iter().map(|word| (*word).to_owned()).chain(mount.options.clone()).collect()
            }
            _ => mount.options.clone(),
        },
        ..Mount::default()
    })
}

/// The default is `rprivate`, as Docker's.
pub fn propagation(word: &str) -> Result<Propagation> {
    Ok(match word {
        "" | "rprivate" => Propagation::Rprivate,
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        other => return Err(Error::invalid(format!("invalid propagation mode: {other}"))),
    })
}

/// A mount that passes events needs a root that passes them, too.
fn root_propagation(record: &Record) -> Propagation {
    let asks = |word: &str| record.mounts.iter().any(|mount| mount.propagation.ends_with(word));
    match () {
        () if asks("shared") => Propagation::Shared,
        () if asks("slave") => Propagation::Slave,
        () => Propagation::Private,
    }
}

fn listed(own: &wharf_api::List<String>, default: &[&str], unmasked: bool) -> Vec<String> {
    match () {
        () if !own.is_null() => own.to_vec(),
        () if unmasked => Vec::new(),
        () => default.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn pair((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(add: &[&str], dropped: &[&str]) -> HostConfig {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        HostConfig { cap_add: list(add), cap_drop: list(dropped), ..HostConfig::default() }
    }

    fn mask(add: &[&str], dropped: &[&str]) -> u64 {
        capabilities::mask(&capabilities_of(&host(add, dropped)).unwrap()).unwrap()
    }

    #[test]
    fn capabilities_are_added_and_dropped_as_docker_does() {
        assert_eq!(mask(&[], &[]), 0xa804_25fb);
        assert_eq!(mask(&["NET_ADMIN"], &[]), 0xa804_25fb | 1 << 12);
        assert_eq!(mask(&["cap_kill"], &["ALL"]), 1 << 5);
        assert_eq!(mask(&["ALL"], &["CAP_SYS_ADMIN"]), ((1 << 41) - 1) & !(1 << 21));
        assert!(capabilities_of(&host(&["FLY"], &[])).is_err());
    }

    #[test]
    fn a_bare_name_removes_a_variable() {
        let mut all = vec!["PATH=/bin".to_owned(), "A=1".to_owned()];
        overlay_environment(&mut all, &["A".into(), "PATH=/x".into(), "B=".into(), "C".into()]);
        assert_eq!(all, ["PATH=/x", "B="]);
    }
}
