//! `--mount`: comma-separated `key=value`.

use std::path::Path;

use wharf_api::container::{BindOptions, Mount, MountType, TmpfsOptions, VolumeDriverConfig, VolumeOptions};

use super::{csv, number, volume::absolute};

/// Reads one `--mount`; bind sources that begin with a dot are relative to `current`.
pub fn parse(text: &str, current: &Path) -> Result<Mount, String> {
    let mut mount = Mount { kind: Some(MountType::Volume), ..Mount::default() };
    let mut recursive = String::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        set(&mut mount, &mut recursive, &key, value, &field)?;
    }
    finish(&mut mount, &recursive)?;
    if mount.kind == Some(MountType::Bind)
        && (mount.source == "." || mount.source.starts_with("./") || mount.source.starts_with(".."))
    {
        mount.source = absolute(&mount.source, current);
    }
    Ok(mount)
}

fn set(mount: &mut Mount, recursive: &mut String, key: &str, value: Option<&str>, field: &str) -> Result<(), String> {
    match (key, value) {
        ("readonly" | "ro", value) => mount.read_only = flag(key, value)?,
        ("volume-nocopy", value) => volume(mount).no_copy = flag(key, value)?,
        ("bind-nonrecursive", value) => bind(mount).non_recursive = flag(key, value)?,
        (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
        ("type", Some(value)) => mount.kind = Some(kind(value)?),
        ("source" | "src", Some(value)) => mount.source = value.to_owned(),
        ("target" | "dst" | "destination", Some(value)) => mount.target = value.to_owned(),
        ("consistency", Some(value)) => mount.consistency = value.to_ascii_lowercase(),
        ("bind-propagation", Some(value)) => bind(mount).propagation = value.to_ascii_lowercase(),
        ("bind-recursive", Some(value)) => {
            bind(mount);
            *recursive = value.to_owned();
        }
        ("volume-subpath", Some(value)) => volume(mount).subpath = value.to_owned(),
        ("volume-label", Some(value)) => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            volume(mount).labels.insert(name.to_owned(), value.to_owned());
        }
        ("volume-driver", Some(value)) => driver(mount).name = value.to_owned(),
        ("volume-opt", Some(value)) => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            driver(mount).options.insert(name.to_owned(), value.to_owned());
        }
        ("image-subpath", Some(value)) => {
            mount.image_options.get_or_insert_default().subpath = value.to_owned();
        }
        ("tmpfs-size", Some(value)) => {
            tmpfs(mount).size_bytes = number::bytes(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        ("tmpfs-mode", Some(value)) => {
            tmpfs(mount).mode =
                u32::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn kind(text: &str) -> Result<MountType, String> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "bind" => MountType::Bind,
        "volume" => MountType::Volume,
        "tmpfs" => MountType::Tmpfs,
        "npipe" => MountType::Npipe,
        "cluster" => MountType::Cluster,
        "image" => MountType::Image,
        other => return Err(format!("mount type unknown: {other:?}; use bind, volume, tmpfs or image")),
    })
}

fn flag(key: &str, value: Option<&str>) -> Result<bool, String> {
    value
        .map_or(Ok(true), number::boolean)
        .map_err(|_| format!("invalid value for {key}: {}", value.unwrap_or_default()))
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    let options = mount.volume_options.get_or_insert_default();
    options.driver_config.get_or_insert_default();
    options
}

fn driver(mount: &mut Mount) -> &mut VolumeDriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn finish(mount: &mut Mount, recursive: &str) -> Result<(), String> {
    if mount.target.is_empty() {
        return Err("target is required".into());
    }
    let kind = mount.kind.unwrap_or(MountType::Volume);
    let named = type_name(kind);
    let mixed = |family: &str| Err(format!("cannot mix '{family}-*' options with mount type '{named}'"));
    if mount.volume_options.is_some() && kind != MountType::Volume {
        return mixed("volume");
    }
    if mount.bind_options.is_some() && kind != MountType::Bind {
        return mixed("bind");
    }
    if mount.image_options.is_some() && kind != MountType::Image {
        return mixed("image");
    }
    if mount.tmpfs_options.is_some() && kind != MountType::Tmpfs {
        return mixed("tmpfs");
    }
    let read_only = mount.read_only;
    let Some(options) = mount.bind_options.as_mut() else { return Ok(()) };
    match recursive {
        "" | "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" | "readonly" if !read_only => {
            return Err(format!(
                "option 'bind-recursive={recursive}' requires 'readonly' to be specified in conjunction"
            ));
        }
        "writable" => options.read_only_non_recursive = true,
        "readonly" if options.propagation != "rprivate" => {
            let needed = "requires 'bind-propagation=rprivate' to be specified in conjunction";
            return Err(format!("option 'bind-recursive=readonly' {needed}"));
        }
        "readonly" => options.read_only_force_recursive = true,
        other => {
            return Err(format!(
                "invalid value for bind-recursive: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn type_name(kind: MountType) -> &'static str {
    match kind {
        MountType::Bind => "bind",
        MountType::Volume => "volume",
        MountType::Tmpfs => "tmpfs",
        MountType::Npipe => "npipe",
        MountType::Cluster => "cluster",
        MountType::Image => "image",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_mounted_is_refused_in_dockers_words() {
        for (text, expected) in [
            ("x", "invalid field 'x' must be a key=value pair"),
            ("type=bind,src=/x", "target is required"),
            ("dst=/x,foo=1", "unexpected key 'foo' in 'foo=1'"),
            ("type=tmpfs,dst=/x,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("type=bind,dst=/x,ro=zz", "invalid value for ro: zz"),
            ("dst=/x,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("dst=/x,bind-propagation=private", "cannot mix 'bind-*' options with mount type 'volume'"),
            ("type=bind,src=/a,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("dst=/x,volume-nocopy=zz", "invalid value for volume-nocopy: zz"),
            ("dst=/x,=3", "unexpected key '' in '=3'"),
            ("dst=/x, ro", "invalid field ' ro' must be a key=value pair"),
            (
                "type=bind,src=/a,dst=/x,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,src=/a,dst=/x,ro,bind-recursive=readonly",
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
            ),
        ] {
            assert_eq!(parse(text, Path::new("/")), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn mounts_are_read() {
        let mount = parse("type=bind,src=./a,dst=/x,ro,bind-propagation=rslave", Path::new("/w")).unwrap();
        assert_eq!((mount.source.as_str(), mount.read_only), ("/w/a", true));
        let mount = parse("type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1777", Path::new("/")).unwrap();
        assert_eq!(mount.tmpfs_options.unwrap(), TmpfsOptions { size_bytes: 1 << 20, mode: 0o1777, options: vec![] });
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}|(type=(bind|tmpfs)|dst=/x|ro|[a-z-]{1,12}=[a-z0-9]{0,4}|,|\"){0,8}") {
            _ = parse(&text, Path::new("/"));
        }
    }
}
