//! From what a person asks to mount to sources on the host.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use wharf_api::container::{HostConfig, Mount as ApiMount, MountType};
use wharf_types::{Error, Result, ResultExt};

use super::directory::Directory;
use super::record::MountRecord;
use super::spec::propagation;
use crate::services::Services;
use crate::volume::Request as VolumeRequest;

/// Resolves all mounts of a container, parents before children. Volumes that are named and not there yet are made,
/// also anonymous ones.
///
/// # Errors
/// `InvalidParameter` for what cannot be mounted. Volumes made by then stay for the caller to remove if anonymous.
pub async fn resolve(
    services: &Services,
    directory: &Directory,
    host: &HostConfig,
    volumes: impl Iterator<Item = &String>,
    made: &mut Vec<MountRecord>,
) -> Result<()> {
    for name in &host.volumes_from {
        inherit(directory, name, made)?;
    }
    let mut asked = Asked::default();
    for (destination, options) in &host.tmpfs {
        asked.note(&tmpfs(destination, options)?.destination)?;
    }
    for bind in &host.binds {
        let mount = parse_bind(bind)?;
        asked.note(&mount.destination)?;
        put(made, finish(services, host, mount, true).await?);
    }
    for mount in &host.mounts {
        asked.note(&clean(&mount.target).unwrap_or_default())?;
        let options = mount.volume_options.as_ref();
        let labels = options.map(|options| options.labels.clone()).unwrap_or_default();
        let driver = options.and_then(|options| options.driver_config.as_ref());
        let driver = driver.map(|driver| driver.options.clone()).unwrap_or_default();
        put(made, finish_volume(services, host, structured(mount)?, (false, labels, driver)).await?);
    }
    for (destination, options) in &host.tmpfs {
        put(made, tmpfs(destination, options)?);
    }
    for destination in volumes {
        let destination = clean(destination)?;
        if !made.iter().any(|mount| mount.destination == destination) {
            let mount = MountRecord { anonymous: true, ..empty(MountType::Volume, destination) };
            put(made, finish(services, host, mount, false).await?);
        }
    }
    made.sort_by(|a, b| a.destination.cmp(&b.destination));
    Ok(())
}

/// The places that one request names: each only once.
#[derive(Default)]
struct Asked(std::collections::BTreeSet<String>);

impl Asked {
    fn note(&mut self, destination: &str) -> Result<()> {
        if destination.is_empty() || self.0.insert(destination.to_owned()) {
            return Ok(());
        }
        Err(Error::invalid(format!("Duplicate mount point: {destination}")))
    }
}

/// A later mount on the same place replaces an earlier one.
fn put(made: &mut Vec<MountRecord>, mount: MountRecord) {
    made.retain(|other| other.destination != mount.destination);
    made.push(mount);
}

fn inherit(directory: &Directory, text: &str, made: &mut Vec<MountRecord>) -> Result<()> {
    let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
    let writable = match mode {
        "rw" => true,
        "ro" => false,
        _ => return Err(Error::invalid(format!("invalid mode for volumes-from: {mode}"))),
    };
    let other = directory.find(name).map_err(|error| Error::invalid(error.to_string()))?;
    for mount in &other.now().record.mounts {
        let inherited = MountRecord { writable: mount.writable && writable, anonymous: false, ..mount.clone() };
        if mount.kind != MountType::Tmpfs {
            put(made, inherited);
        }
    }
    Ok(())
}

/// `source:destination[:options]`, source a path of the host or a volume's name; or `destination` alone.
fn parse_bind(text: &str) -> Result<MountRecord> {
    let invalid = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, options) = match parts[..] {
        [destination] => ("", destination, ""),
        [source, destination] => (source, destination, ""),
        [source, destination, options] => (source, destination, options),
        _ => return Err(invalid()),
    };
    let destination = clean(destination).map_err(|_| {
        Error::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{}\": invalid mount path: '{destination}' mount path must be absolute",
            if source.starts_with('/') { "bind" } else { "volume" }
        ))
    })?;
    if destination == "/" {
        return Err(Error::invalid(format!("{}: destination can't be '/'", invalid())));
    }
    let kind = if source.starts_with('/') { MountType::Bind } else { MountType::Volume };
    let mut mount = empty(kind, destination);
    mount.mode = options.to_owned();
    match kind {
        MountType::Bind => mount.source = PathBuf::from(source),
        _ => (mount.volume, mount.anonymous) = ((!source.is_empty()).then(|| source.to_owned()), source.is_empty()),
    }
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "rw" => {}
            "ro" | "readonly" => mount.writable = false,
            // Labels of SELinux and promises to desktop file sharing have no meaning on this host.
            "z" | "Z" | "consistent" | "cached" | "delegated" | "rbind" => {}
            "bind" => mount.non_recursive = true,
            "nocopy" => mount.options.push("nocopy".into()),
            word if propagation(word).is_ok() => word.clone_into(&mut mount.propagation),
            _ => return Err(Error::invalid(format!("{}: invalid mode: {options}", invalid()))),
        }
    }
    Ok(mount)
}

fn structured(mount: &ApiMount) -> Result<MountRecord> {
    let kind = mount.kind.ok_or_else(|| Error::invalid("mount type unknown"))?;
    let about = |text: &str| {
        let name = format!("{kind:?}").to_lowercase();
        Error::invalid(format!("invalid mount config for type \"{name}\": {text}"))
    };
    if mount.target.is_empty() {
        return Err(about("field Target must not be empty"));
    }
    let destination = clean(&mount.target).map_err(|error| about(&error.to_string()))?;
    if destination == "/" {
        return Err(about("destination can't be '/'"));
    }
    let mut record = empty(kind, destination);
    record.writable = !mount.read_only;
    match kind {
        MountType::Bind => structured_bind(mount, &mut record, about)?,
        MountType::Volume => {
            record.volume = Some(mount.source.clone()).filter(|name| !name.is_empty());
            record.anonymous = record.volume.is_none();
            let options = mount.volume_options.clone().unwrap_or_default();
            if options.no_copy {
                record.options.push("nocopy".into());
            }
            record.subpath = part(&options.subpath).map_err(|error| about(&error.to_string()))?;
            record.driver = options.driver_config.map(|driver| driver.name).unwrap_or_default();
        }
        MountType::Tmpfs if !mount.source.is_empty() => return Err(about("field Source must not be specified")),
        MountType::Tmpfs => structured_tmpfs(mount, &mut record),
        MountType::Image => {
            if mount.source.is_empty() {
                return Err(about("field Source must not be empty"));
            }
            record.source = PathBuf::from(&mount.source);
            record.writable = false;
            let options = mount.image_options.clone().unwrap_or_default();
            record.subpath = part(&options.subpath).map_err(|error| about(&error.to_string()))?;
        }
        MountType::Npipe | MountType::Cluster => {
            return Err(Error::not_implemented(about("this type is not there yet").to_string()));
        }
    }
    Ok(record)
}

fn structured_bind(mount: &ApiMount, record: &mut MountRecord, about: impl Fn(&str) -> Error) -> Result<()> {
    if mount.source.is_empty() {
        return Err(about("field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(about(&format!("invalid mount path: '{}' mount path must be absolute", mount.source)));
    }
    record.source = PathBuf::from(&mount.source);
    let options = mount.bind_options.clone().unwrap_or_default();
    if !record.source.exists() {
        if !options.create_mountpoint {
            return Err(about(&format!("bind source path does not exist: {}", mount.source)));
        }
        make_folder(&record.source)?;
    }
    record.non_recursive = options.non_recursive;
    record.read_only_top = options.read_only_non_recursive;
    record.propagation = options.propagation;
    propagation(&record.propagation).map(drop)
}

fn structured_tmpfs(mount: &ApiMount, record: &mut MountRecord) {
    let Some(options) = &mount.tmpfs_options else { return };
    if options.size_bytes > 0 {
        record.options.push(format!("size={}", options.size_bytes));
    }
    if options.mode > 0 {
        record.options.push(format!("mode={:o}", options.mode));
    }
    record.options.extend(options.options.iter().map(|pair| pair.join("=")));
}

fn tmpfs(destination: &str, options: &str) -> Result<MountRecord> {
    let mut mount = empty(MountType::Tmpfs, clean(destination)?);
    if mount.destination == "/" {
        return Err(Error::invalid("invalid specification: destination can't be '/'"));
    }
    mount.options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect();
    mount.writable = !mount.options.iter().any(|option| option == "ro");
    Ok(mount)
}

/// Finds or makes what stands behind a mount.
async fn finish(services: &Services, host: &HostConfig, mount: MountRecord, make_source: bool) -> Result<MountRecord> {
    finish_volume(services, host, mount, (make_source, BTreeMap::new(), BTreeMap::new())).await
}

/// The same, with the labels and the driver's options of a new volume.
async fn finish_volume(
    services: &Services,
    host: &HostConfig,
    mut mount: MountRecord,
    (make_source, labels, options): (bool, BTreeMap<String, String>, BTreeMap<String, String>),
) -> Result<MountRecord> {
    match mount.kind {
        MountType::Bind if make_source && !mount.source.exists() => make_folder(&mount.source)?,
        MountType::Volume => {
            let request = VolumeRequest {
                name: mount.volume.take(),
                driver: if mount.driver.is_empty() { host.volume_driver.clone() } else { mount.driver.clone() },
                labels,
                options,
            };
            let volume = services.volumes.ensure(request).await?;
            mount.source = services.volumes.path(&volume.name);
            mount.driver = volume.driver.clone();
            mount.volume = Some(volume.name);
        }
        _ => {}
    }
    Ok(mount)
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("error while creating mount source path '{}'", path.display()))
}

fn empty(kind: MountType, destination: String) -> MountRecord {
    MountRecord {
        kind,
        volume: None,
        anonymous: false,
        source: PathBuf::new(),
        destination,
        mode: String::new(),
        writable: true,
        propagation: String::new(),
        options: Vec::new(),
        non_recursive: false,
        read_only_top: false,
        subpath: String::new(),
        driver: String::new(),
        layers: Vec::new(),
        diff_ids: Vec::new(),
    }
}

/// A relative path that stays inside.
fn part(path: &str) -> Result<String> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if inside { Ok(path.to_owned()) } else { Err(Error::invalid("subpath must be a relative path within the volume")) }
}

/// An absolute path without `.`, `..` and doubled slashes.
fn clean(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!("invalid mount path: '{path}' mount path must be absolute"))
            .with_hint("write source:/destination"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(part) => parts.extend(part.to_str()),
            _ => {}
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_in_every_form() {
        let bind = parse_bind("/a:/b/../c:ro,rslave").unwrap();
        assert_eq!((bind.kind, bind.destination.as_str(), bind.writable), (MountType::Bind, "/c", false));
        assert_eq!(bind.propagation, "rslave");
        let volume = parse_bind("data:/data").unwrap();
        assert_eq!((volume.kind, volume.volume.as_deref()), (MountType::Volume, Some("data")));
        assert!(parse_bind("/data").unwrap().anonymous);
        for bad in ["", ":", "a:b", "/a:b", "/a:/b:what", "/a:/", "/a:/b:ro:rw"] {
            assert!(parse_bind(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_later_mount_on_the_same_place_wins() {
        let mut made = Vec::new();
        put(&mut made, parse_bind("/a:/x").unwrap());
        put(&mut made, parse_bind("/b:/x").unwrap());
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].source, Path::new("/b"));
    }
}
