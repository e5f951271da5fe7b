//! The folder of a registry: `hosts.toml` in containerd's form, and certificates as Docker lays them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;
use wharf_types::{Error, Result, ResultExt};

/// The name of the folder that counts for registries without one of their own.
const DEFAULT: &str = "_default";

/// Certificates for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// Further authorities, PEM.
    pub(crate) authorities: Vec<PathBuf>,
    /// Certificates and keys of this client, PEM; the key may be in the same file.
    pub(crate) clients: Vec<(PathBuf, PathBuf)>,
    /// Take any certificate.
    pub(crate) skip_verify: bool,
}

/// One host of a `hosts.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) url: String,
    pub(crate) pull: bool,
    pub(crate) resolve: bool,
    pub(crate) push: bool,
    pub(crate) override_path: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trust: Trust,
}

/// What a folder says about a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Tried in this order before the registry itself.
    pub(crate) hosts: Vec<Line>,
    /// The registry itself, where it is elsewhere or needs something.
    pub(crate) server: Option<Line>,
    /// Certificates that lie in the folder, for the registry itself.
    pub(crate) trust: Trust,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Client {
    One(PathBuf),
    Many(Vec<OneOrMany<PathBuf>>),
}

#[derive(Debug, Deserialize)]
struct Fields {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany<PathBuf>>,
    client: Option<Client>,
    #[serde(default)]
    skip_verify: bool,
    #[serde(default)]
    override_path: bool,
    #[serde(default)]
    header: BTreeMap<String, OneOrMany<String>>,
}

/// Reads the folder of a registry, the first of `dirs` that has one.
pub(crate) fn read(dirs: &[PathBuf], authority: &str) -> Result<Folder> {
    let names = [authority, DEFAULT].into_iter();
    let mut folders = names.flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    match folders.find(|folder| folder.is_dir()) {
        Some(folder) => read_folder(&folder),
        None => Ok(Folder::default()),
    }
}

fn read_folder(folder: &Path) -> Result<Folder> {
    let found = certificates(folder)?;
    let path = folder.join("hosts.toml");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let parsed = parse(&text, folder).with_context(|| format!("cannot use {}", path.display()))?;
            Ok(Folder { trust: found.trust, ..parsed })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(found),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// `*.crt` are authorities; each `*.cert` needs its `*.key`.
fn certificates(folder: &Path) -> Result<Folder> {
    let mut trust = Trust::default();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => trust.authorities.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.is_file() {
                    return Err(Error::invalid(format!("missing key {} for client certificate", key.display())));
                }
                trust.clients.push((path, key));
            }
            _ => {}
        }
    }
    Ok(Folder { trust, ..Folder::default() })
}

/// Reads the text of a `hosts.toml`; paths in it are relative to `folder`.
pub(crate) fn parse(text: &str, folder: &Path) -> Result<Folder> {
    let wrong = |error: toml::de::Error| Error::invalid("it is no valid hosts.toml").caused_by(error);
    let mut table: Table = toml::from_str(text).map_err(wrong)?;
    let mut hosts = Vec::new();
    if let Some(toml::Value::Table(lines)) = table.remove("host") {
        for (url, fields) in lines {
            hosts.push(line(url, fields.try_into().map_err(wrong)?, folder));
        }
    }
    let server = match table.remove("server") {
        Some(toml::Value::String(url)) => Some(line(url, toml::Value::Table(table).try_into().map_err(wrong)?, folder)),
        Some(_) => return Err(Error::invalid("\"server\" must be a URL in quotes")),
        None => None,
    };
    Ok(Folder { hosts, server, trust: Trust::default() })
}

fn line(url: String, fields: Fields, folder: &Path) -> Line {
    let can = |what: &str| fields.capabilities.as_ref().is_none_or(|list| list.iter().any(|known| known == what));
    let (pull, resolve) = (can("pull"), can("resolve"));
    // A mirror takes pushes only where that is said, not by default.
    let push = fields.capabilities.is_some() && can("push");
    let below = |path: PathBuf| folder.join(path);
    let clients = match fields.client {
        None => Vec::new(),
        Some(Client::One(path)) => vec![(path.clone(), path)],
        Some(Client::Many(pairs)) => pairs
            .into_iter()
            .filter_map(|pair| {
                let pair = pair.list();
                Some((pair.first()?.clone(), pair.last()?.clone()))
            })
            .collect(),
    };
    let trust = Trust {
        authorities: fields.ca.map(OneOrMany::list).unwrap_or_default().into_iter().map(below).collect(),
        clients: clients.into_iter().map(|(certificate, key)| (below(certificate), below(key))).collect(),
        skip_verify: fields.skip_verify,
    };
    let headers = fields.header.into_iter();
    let headers = headers.flat_map(|(name, values)| values.list().into_iter().map(move |value| (name.clone(), value)));
    // Without a scheme it is HTTPS, as containerd has it.
    let url = if url.contains("://") { url } else { format!("https://{url}") };
    Line { url, pull, resolve, push, override_path: fields.override_path, headers: headers.collect(), trust }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        server = "https://registry-1.docker.io"

        [host."https://z.test"]
          capabilities = ["pull"]
          ca = "z.crt"
        [host."http://a.test/v2/hub"]
          capabilities = ["pull", "resolve", "push"]
          override_path = true
          skip_verify = true
          client = [["a.cert", "a.key"], ["both.pem"]]
          [host."http://a.test/v2/hub".header]
            x-one = "1"
            x-two = ["2", "3"]
    "#;

    #[test]
    fn containerds_example_is_understood_in_its_order() {
        let folder = parse(TEXT, Path::new("/d")).unwrap();
        let urls: Vec<_> = folder.hosts.iter().map(|host| host.url.as_str()).collect();
        assert_eq!(urls, ["https://z.test", "http://a.test/v2/hub"]);
        let (z, a) = (&folder.hosts[0], &folder.hosts[1]);
        assert!(z.pull && !z.resolve && !z.push && !z.override_path);
        assert_eq!(z.trust.authorities, [PathBuf::from("/d/z.crt")]);
        assert!(a.push && a.override_path && a.trust.skip_verify);
        assert_eq!(a.trust.clients[1], (PathBuf::from("/d/both.pem"), PathBuf::from("/d/both.pem")));
        assert_eq!(a.headers.len(), 3);
        assert_eq!(folder.server.unwrap().url, "https://registry-1.docker.io");
    }

    #[test]
    fn nonsense_is_refused_and_nothing_is_fine() {
        assert!(parse("server = 3", Path::new("/")).is_err());
        assert!(parse("[host", Path::new("/")).is_err());
        assert!(parse("[host.\"https://a\"]\nca = 3", Path::new("/")).is_err());
        assert_eq!(parse("", Path::new("/")).unwrap(), Folder::default());
        assert_eq!(read(&["/nonexistent".into()], "a.test").unwrap(), Folder::default());
    }

    #[test]
    fn certificates_of_a_folder_are_found_and_keys_are_needed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("reg.test:5000");
        std::fs::create_dir(&folder).unwrap();
        for name in ["ca.crt", "client.cert", "client.key", "notes.txt"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let found = read(&[dir.path().to_owned()], "reg.test:5000").unwrap();
        assert_eq!(found.trust.authorities, [folder.join("ca.crt")]);
        assert_eq!(found.trust.clients, [(folder.join("client.cert"), folder.join("client.key"))]);
        std::fs::remove_file(folder.join("client.key")).unwrap();
        assert!(read(&[dir.path().to_owned()], "reg.test:5000").is_err());
    }
}
