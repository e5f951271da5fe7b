//! Devices of the Container Device Interface: a vendor describes in a file what a container needs for one.
//!
//! The files are JSON (CDI specification 0.3 to 1.0) in /etc/cdi and /var/run/cdi; of two that describe the same device,
//! the one in the later folder counts.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use wharf_api::container::{DeviceMapping, DeviceRequest};
use wharf_runtime::spec::{ContainerSpec, Mount, MountSource, Propagation};
use wharf_types::{Error, Result, ResultExt};

use super::limits;

/// Where the files are unless the engine was told otherwise.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    kind: String,
    devices: Vec<Device>,
    container_edits: Edits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Device {
    name: String,
    container_edits: Edits,
}

/// What changes in a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Bind>,
    hooks: Vec<serde_json::Value>,
    additional_gids: Vec<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Node {
    path: String,
    host_path: String,
    permissions: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Bind {
    host_path: String,
    container_path: String,
    options: Vec<String>,
}

/// Gives the container the devices that were asked of drivers.
///
/// # Errors
/// `System`, in Docker's words, for a driver or a device that is not there.
pub fn inject(requests: &[DeviceRequest], folders: &[PathBuf], spec: &mut ContainerSpec) -> Result<()> {
    for request in requests {
        if request.driver != "cdi" {
            return Err(no_driver(request));
        }
        let files = read_all(folders)?;
        let mut opened = Vec::new();
        for id in &request.device_ids {
            let (file, device) = find(&files, id)?;
            // What all devices of a file have in common is done once.
            if !opened.contains(&file) {
                opened.push(file);
                apply(&files[file].container_edits, spec).with_context(|| failed(id))?;
            }
            apply(&device.container_edits, spec).with_context(|| failed(id))?;
        }
    }
    Ok(())
}

fn failed(id: &str) -> String {
    format!("CDI device injection failed for {id}")
}

fn no_driver(request: &DeviceRequest) -> Error {
    let capabilities: Vec<String> = request.capabilities.iter().map(|all| format!("[{}]", all.join(" "))).collect();
    let text =
        format!("could not select device driver {:?} with capabilities: [{}]", request.driver, capabilities.join(" "));
    Error::system(text)
        .with_hint("name the devices with --device, also by their names of the Container Device Interface")
}

/// All files, later folders first, so that theirs are found first.
fn read_all(folders: &[PathBuf]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for folder in folders.iter().rev() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
            files.push(read(path)?);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::system(format!("{} is no description of CDI devices", path.display())).caused_by(error))
}

fn find<'a>(files: &'a [File], id: &str) -> Result<(usize, &'a Device)> {
    let found = id.split_once('=').and_then(|(kind, name)| {
        let of = |(number, file): (usize, &'a File)| {
            file.devices.iter().find(|device| device.name == name).map(|device| (number, device))
        };
        files.iter().enumerate().filter(|(_, file)| file.kind == kind).find_map(of)
    });
    found.ok_or_else(|| {
        Error::system(format!("CDI device injection failed: unresolvable CDI devices {id}"))
            .with_hint("its vendor's program writes a JSON file that describes it to /etc/cdi")
    })
}

fn apply(edits: &Edits, spec: &mut ContainerSpec) -> Result<()> {
    if !edits.hooks.is_empty() {
        return Err(Error::not_implemented("hooks of CDI devices are not run")
            .with_hint("have the vendor's program write a description without hooks"));
    }
    super::spec::overlay_environment(&mut spec.process.env, &edits.env);
    for node in &edits.device_nodes {
        let host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
        let mapping = DeviceMapping {
            path_on_host: host.clone(),
            path_in_container: node.path.clone(),
            cgroup_permissions: node.permissions.clone(),
        };
        limits::collect_devices(Path::new(host), &node.path, &mapping, &mut spec.devices)?;
    }
    spec.mounts.extend(edits.mounts.iter().map(mount));
    spec.mounts.sort_by_key(|mount| mount.destination.matches('/').count());
    spec.process.additional_groups.extend(edits.additional_gids.iter().map(u32::to_string));
    Ok(())
}

fn mount(bind: &Bind) -> Mount {
    let is = |word: &str| bind.options.iter().any(|option| option == word);
    let structural = ["bind", "rbind", "ro", "rw", "private", "rprivate", "slave", "rslave"];
    Mount {
        destination: bind.container_path.clone(),
        source: MountSource::Bind { path: bind.host_path.clone().into(), recursive: is("rbind") },
        readonly: is("ro"),
        propagation: if is("rslave") || is("slave") { Propagation::Rslave } else { Propagation::Rprivate },
        options: bind.options.iter().filter(|word| !structural.contains(&word.as_str())).cloned().collect(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(driver: &str, ids: &[&str]) -> DeviceRequest {
        let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        DeviceRequest { driver: driver.into(), device_ids, ..DeviceRequest::default() }
    }

    #[test]
    fn devices_bring_nodes_mounts_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"cdiVersion": "0.6.0", "kind": "example.org/thing",
            "containerEdits": {"env": ["ALL=1"]},
            "devices": [
                {"name": "a", "containerEdits": {"deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}]}},
                {"name": "b", "containerEdits": {"mounts":
                    [{"hostPath": "/etc", "containerPath": "/thing", "options": ["ro", "nosuid", "bind"]}]}},
                {"name": "hooked", "containerEdits": {"hooks": [{"path": "/bin/true"}]}}]}"#;
        std::fs::write(folder.path().join("thing.json"), text).unwrap();
        std::fs::write(folder.path().join("ignored.txt"), "no JSON").unwrap();
        let folders = [PathBuf::from("/no-such-folder"), folder.path().to_owned()];
        let mut spec = ContainerSpec::default();
        inject(&[request("cdi", &["example.org/thing=a", "example.org/thing=b"])], &folders, &mut spec).unwrap();
        assert_eq!(spec.process.env, ["ALL=1"]);
        assert_eq!((spec.devices[0].path.as_str(), spec.devices[0].major, spec.devices[0].minor), ("/dev/thing", 1, 5));
        assert!(spec.mounts[0].readonly && spec.mounts[0].options == ["nosuid"]);
        for (driver, id, words) in [
            ("cdi", "example.org/thing=c", "unresolvable CDI devices example.org/thing=c"),
            ("cdi", "example.org/thing=hooked", "hooks"),
            ("", "0", "could not select device driver \"\" with capabilities: []"),
        ] {
            let error = inject(&[request(driver, &[id])], &folders, &mut ContainerSpec::default()).unwrap_err();
            assert!(error.chain().contains(words), "{}", error.chain());
        }
    }
}
