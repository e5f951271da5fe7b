//! The local driver's options: a volume that is a file system of its own, mounted while containers use it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::net::ToSocketAddrs;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change, unmount,
};
use wharf_types::{Error, Result, ResultExt};

/// What is to be mounted, as mount(8) would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    kind: String,
    device: String,
    options: String,
}

/// Options whose meaning is the kernel's flags, not the file system's own.
const FLAGS: [(&str, MountFlags); 9] = [
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
];
/// Options that say what holds anyway.
const DEFAULTS: [&str; 7] = ["rw", "defaults", "suid", "dev", "exec", "async", "auto"];

/// Reads the options; `None` for a plain folder.
///
/// # Errors
/// `InvalidParameter`, in Docker's words.
pub fn plan(options: &BTreeMap<String, String>) -> Result<Option<Plan>> {
    if options.is_empty() {
        return Ok(None);
    }
    if let Some(unknown) = options.keys().find(|key| !["type", "device", "o", "size"].contains(&key.as_str())) {
        return Err(Error::invalid(format!("invalid option: {unknown:?}"))
            .with_hint("the local driver knows type, device and o"));
    }
    if options.contains_key("size") {
        return Err(Error::not_implemented("quota size requested for volume but no quota support")
            .with_hint("limit a tmpfs volume with --opt type=tmpfs --opt device=tmpfs --opt o=size=100m"));
    }
    let text = |name: &str| options.get(name).cloned().unwrap_or_default();
    let (kind, device, own) = (text("type"), text("device"), text("o"));
    let binds = own.split(',').any(|option| option == "bind" || option == "rbind");
    if device.is_empty() {
        return Err(Error::invalid("missing device in volume options"));
    }
    if kind.is_empty() && !binds {
        return Err(Error::invalid("missing required option: \"type\""));
    }
    Ok(Some(Plan { kind, device, options: own }))
}

/// Mounts it at `target`. May take its time where a server is far away.
pub fn activate(plan: &Plan, target: &Path) -> Result<()> {
    let failed = || format!("failed to mount local volume: mount {}:{}", plan.device, target.display());
    let (flags, rest, binds) = split(&plan.options);
    if binds {
        mount_bind_recursive(plan.device.as_str(), target).map_err(std::io::Error::from).with_context(failed)?;
        if !flags.is_empty() {
            let again = MountFlags::BIND | flags;
            rustix::mount::mount_remount(target, again, c"").map_err(std::io::Error::from).with_context(failed)?;
        }
    } else {
        let data = with_addresses(&plan.kind, &rest)?;
        let data = CString::new(data.join(",")).map_err(std::io::Error::from).with_context(failed)?;
        mount(plan.device.as_str(), target, plan.kind.as_str(), flags, Some(data.as_c_str()))
            .map_err(std::io::Error::from)
            .with_context(failed)?;
    }
    let private = mount_change(target, MountPropagationFlags::PRIVATE);
    private.map_err(std::io::Error::from).with_context(failed)
}

/// Takes it down; what still uses it keeps it until it lets go.
pub fn deactivate(target: &Path) -> Result<()> {
    match unmount(target, UnmountFlags::DETACH) {
        // Not mounted: as wanted.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => {
            Err(std::io::Error::from(error)).with_context(|| format!("cannot unmount the volume {}", target.display()))
        }
    }
}

/// Flags, what is left for the file system, and whether it is a folder of the host.
fn split(options: &str) -> (MountFlags, Vec<String>, bool) {
    let (mut flags, mut rest, mut binds) = (MountFlags::empty(), Vec::new(), false);
    for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        match FLAGS.iter().find(|(name, _)| *name == option) {
            Some((_, flag)) => flags |= *flag,
            None if matches!(option, "bind" | "rbind") => binds = true,
            None if DEFAULTS.contains(&option) => {}
            None => rest.push(option.to_owned()),
        }
    }
    (flags, rest, binds)
}

/// The kernel takes addresses of servers, not names.
fn with_addresses(kind: &str, options: &[String]) -> Result<Vec<String>> {
    let names_server = matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3");
    let resolve = |option: &String| match option.strip_prefix("addr=") {
        Some(name) if names_server && name.parse::<std::net::IpAddr>().is_err() => {
            let found =
                (name, 0).to_socket_addrs().with_context(|| format!("cannot find the volume's server {name}"))?;
            let first = found.into_iter().next();
            let first = first.ok_or_else(|| Error::invalid(format!("the volume's server {name} has no address")))?;
            Ok(format!("addr={}", first.ip()))
        }
        _ => Ok(option.clone()),
    };
    options.iter().map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<Plan>> {
        plan(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn options_are_checked() {
        assert_eq!(of(&[]).unwrap(), None);
        assert!(of(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")]).unwrap().is_some());
        assert!(of(&[("device", "/x"), ("o", "bind")]).unwrap().is_some());
        for bad in [&[("what", "x")][..], &[("type", "nfs")], &[("device", "/x")], &[("size", "1g")]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn flags_are_told_from_the_file_systems_own_options() {
        let (flags, rest, binds) = split("ro,addr=10.0.0.1,nosuid,rw,size=1m");
        assert_eq!(flags, MountFlags::RDONLY | MountFlags::NOSUID);
        assert_eq!((rest, binds), (vec!["addr=10.0.0.1".to_owned(), "size=1m".to_owned()], false));
        assert!(split("rbind").2);
    }

    #[test]
    fn servers_are_told_by_address() {
        let options = ["addr=localhost".to_owned(), "vers=4".to_owned()];
        let resolved = with_addresses("nfs", &options).unwrap();
        assert!(resolved[0] == "addr=127.0.0.1" || resolved[0] == "addr=::1", "{resolved:?}");
        assert_eq!(with_addresses("tmpfs", &options).unwrap(), options);
    }
}
