//! What a request means that is written for an older version of the API: fields that came later do not count, and some that
//! went since still do.

use wharf_api::ApiVersion;
use wharf_api::container::{CreateRequest, UpdateRequest};
use wharf_types::{Error, Result};

/// A new container.
///
/// # Errors
/// `InvalidParameter` for what needs a newer version and must not be left out silently.
pub(crate) fn create(request: &mut CreateRequest, version: ApiVersion) -> Result<()> {
    let Some(host) = &mut request.host_config else { return Ok(()) };
    let limits = &mut host.resources;
    if version.before(40) {
        limits.kernel_memory_tcp = 0;
        limits.pids_limit = None;
        if host.ipc_mode.is_empty() {
            host.ipc_mode = "shareable".into();
        }
        host.mounts
            .iter_mut()
            .filter_map(|mount| mount.bind_options.as_mut())
            .for_each(|own| own.non_recursive = false);
    }
    if version.before(42) {
        host.console_size = [0, 0];
        for options in host.mounts.iter_mut().filter_map(|mount| mount.bind_options.as_mut()) {
            options.create_mountpoint = false;
        }
    } else {
        limits.kernel_memory = 0;
    }
    if version.before(43) {
        host.annotations.clear();
    }
    for mount in &host.mounts {
        let recursive = mount.bind_options.as_ref().is_some_and(|options| options.read_only_non_recursive);
        if version.before(44) && recursive {
            return Err(Error::invalid("BindOptions.ReadOnlyNonRecursive needs API v1.44 or newer"));
        }
        let subpath = mount.volume_options.as_ref().is_some_and(|options| !options.subpath.is_empty());
        if version.before(45) && subpath {
            return Err(Error::invalid("VolumeOptions.Subpath needs API v1.45 or newer"));
        }
    }
    Ok(())
}

/// New limits.
pub(crate) fn update(request: &mut UpdateRequest, version: ApiVersion) {
    if version.before(40) {
        request.resources.pids_limit = None;
    }
    if version.at_least(42) {
        request.resources.kernel_memory = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(host: &serde_json::Value, minor: u16) -> Result<wharf_api::container::HostConfig> {
        let request = serde_json::json!({"Image": "x", "HostConfig": host});
        let mut request: CreateRequest = serde_json::from_value(request).unwrap();
        create(&mut request, ApiVersion::new(1, minor)).map(|()| request.host_config.unwrap())
    }

    #[test]
    fn fields_count_from_their_version_on() {
        let all = serde_json::json!({
            "KernelMemory": 1 << 30, "PidsLimit": 5, "Annotations": {"a": "b"}, "ConsoleSize": [2, 3]
        });
        let old = created(&all, 39).unwrap();
        assert_eq!((old.resources.kernel_memory, old.resources.pids_limit, old.console_size), (1 << 30, None, [0, 0]));
        assert!(old.annotations.is_empty() && old.ipc_mode == "shareable");
        let new = created(&all, 47).unwrap();
        assert_eq!((new.resources.kernel_memory, new.resources.pids_limit, new.console_size), (0, Some(5), [2, 3]));
        assert!(!new.annotations.is_empty() && new.ipc_mode.is_empty());
        let part =
            serde_json::json!({"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "a"}}]});
        assert!(created(&part, 44).is_err() && created(&part, 45).is_ok());
    }
}
