//! Mounts of a bundle.

use std::path::Path;

use wharf_types::{Error, Result};

use super::config::{Config, Mount as Wanted};
use crate::spec::{IdMapping, Mount, MountSource, Owners, Propagation};

pub(super) fn mounts(config: &Config, bundle: &Path, root: Propagation) -> Result<Vec<Mount>> {
    let label = config.linux.as_ref().map_or("", |linux| linux.mount_label.as_str());
    config.mounts.iter().map(|mount| convert(mount, bundle, root, label)).collect()
}

/// The propagation that a word asks for.
pub(super) fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "unbindable" => Propagation::Unbindable,
        "runbindable" => Propagation::Runbindable,
        _ => return None,
    })
}

fn convert(wanted: &Wanted, bundle: &Path, root: Propagation, label: &str) -> Result<Mount> {
    if wanted.destination.is_empty() {
        return Err(Error::invalid("config.json: a mount has no destination"));
    }
    let has = |word: &str| wanted.options.iter().any(|option| option == word);
    let bind = wanted.kind == "bind" || has("bind") || has("rbind");
    let mut options = wanted.options.clone();
    if !label.is_empty()
        && crate::has_selinux()
        && !bind
        && !matches!(wanted.kind.as_str(), "proc" | "sysfs" | "cgroup")
    {
        options.push(format!("context=\"{label}\""));
    }
    let source = match wanted.kind.as_str() {
        _ if bind => MountSource::Bind { path: bundle.join(&wanted.source), recursive: has("rbind") || !has("bind") },
        "tmpfs" => MountSource::Tmpfs,
        "" => {
            return Err(Error::invalid(format!("config.json: the mount at {} has no type", wanted.destination)));
        }
        kind => MountSource::Filesystem { kind: kind.to_owned(), device: wanted.source.clone() },
    };
    let inherited = match root {
        Propagation::Shared | Propagation::Rshared | Propagation::Slave | Propagation::Rslave => Propagation::Rslave,
        _ => Propagation::Rprivate,
    };
    Ok(Mount {
        destination: format!("/{}", wanted.destination.trim_start_matches('/')),
        source,
        propagation: wanted.options.iter().rev().find_map(|word| propagation(word)).unwrap_or(inherited),
        copy_up: has("tmpcopyup"),
        owners: owners(wanted)?,
        options,
        ..Mount::default()
    })
}

fn owners(wanted: &Wanted) -> Result<Option<Owners>> {
    let has = |word: &str| wanted.options.iter().any(|option| option == word);
    let mapping = IdMapping { uids: wanted.uid_mappings.clone(), gids: wanted.gid_mappings.clone() };
    let named = !mapping.uids.is_empty() || !mapping.gids.is_empty();
    if named && (mapping.uids.is_empty() || mapping.gids.is_empty()) {
        return Err(Error::invalid(format!(
            "config.json: the mount at {} needs both uidMappings and gidMappings",
            wanted.destination
        )));
    }
    if !(named || has("idmap") || has("ridmap")) {
        return Ok(None);
    }
    Ok(Some(Owners { mapping: named.then_some(mapping), recursive: has("ridmap") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Result<Mount> {
        convert(&serde_json::from_str(json).unwrap(), Path::new("/bundle"), Propagation::Rprivate, "")
    }

    #[test]
    fn mounts_are_understood_in_all_forms() {
        let bind = one(r#"{"destination":"/a","source":"data","options":["rbind","ro","rshared"]}"#).unwrap();
        assert!(
            matches!(&bind.source, MountSource::Bind { path, recursive: true } if path == Path::new("/bundle/data"))
        );
        assert_eq!(bind.propagation, Propagation::Rshared);
        let tmpfs =
            one(r#"{"destination":"/t","type":"tmpfs","source":"x","options":["tmpcopyup","size=1m"]}"#).unwrap();
        assert!(tmpfs.copy_up && matches!(tmpfs.source, MountSource::Tmpfs));
        let mapped = r#"{"destination":"/m","type":"bind","source":"/x","options":["bind","ridmap"],
            "uidMappings":[{"containerID":0,"hostID":5,"size":1}],"gidMappings":[{"containerID":0,"hostID":6,"size":1}]}"#;
        let owners = one(mapped).unwrap().owners.unwrap();
        assert!(owners.recursive && owners.mapping.unwrap().root() == Some((5, 6)));
        for bad in [r#"{"destination":""}"#, r#"{"destination":"/a","source":"x"}"#] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }
}
