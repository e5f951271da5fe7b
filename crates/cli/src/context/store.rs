//! Where contexts are kept.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wharf_types::Digest;

use super::DEFAULT;
use crate::failure::{Failure, Outcome};
use crate::output::os_error;

/// The files of a context's certificates, as Docker names them.
pub const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// An engine by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Where the engine is.
    pub host: String,
    /// Believe whatever certificate the engine shows.
    pub skip_verify: bool,
    /// Certificates and key, by their names in [`TLS_FILES`].
    pub tls: Vec<(String, Vec<u8>)>,
    /// What other programs have written into its metadata.
    pub others: Map<String, Value>,
}

impl Context {
    /// `meta.json`.
    pub fn document(&self) -> Value {
        let mut metadata = self.others.clone();
        if !self.description.is_empty() {
            metadata.insert("Description".into(), self.description.as_str().into());
        }
        json!({
            "Name": self.name,
            "Metadata": metadata,
            "Endpoints": {"docker": {"Host": self.host, "SkipTLSVerify": self.skip_verify}},
        })
    }

    /// Reads `meta.json`; the certificates are not in it.
    pub fn from_document(document: &Value) -> Option<Self> {
        let docker = &document["Endpoints"]["docker"];
        let mut others = document["Metadata"].as_object().cloned().unwrap_or_default();
        let description = others.remove("Description");
        Some(Self {
            name: document["Name"].as_str()?.to_owned(),
            description: description.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            host: docker["Host"].as_str().unwrap_or_default().to_owned(),
            skip_verify: docker["SkipTLSVerify"].as_bool().unwrap_or(false),
            tls: Vec::new(),
            others,
        })
    }

    /// A file among the certificates.
    pub fn tls_file(&self, name: &str) -> Option<&[u8]> {
        self.tls.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.as_slice())
    }
}

/// All contexts of a person.
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// In the folder of the client's files; it need not be there.
    pub fn new(config: &Path) -> Self {
        Self { folder: config.join("contexts") }
    }

    /// The folder of a context's description.
    pub fn meta_folder(&self, name: &str) -> PathBuf {
        self.folder.join("meta").join(key(name))
    }

    /// The folder of a context's certificates.
    pub fn tls_folder(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(key(name))
    }

    /// All of them, by name.
    pub fn list(&self) -> Outcome<Vec<Context>> {
        let mut contexts = Vec::new();
        let entries = match std::fs::read_dir(self.folder.join("meta")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(contexts),
            Err(error) => return Err(unreadable(&self.folder, &error)),
        };
        for entry in entries {
            contexts.extend(self.read(&entry?.path())?);
        }
        contexts.sort_by(|a, b| crate::output::natural_order(&a.name, &b.name));
        Ok(contexts)
    }

    /// One with its certificates.
    pub fn get(&self, name: &str) -> Outcome<Context> {
        let missing = || {
            Failure::new(format!("context {name:?}: context not found"))
                .with_hint("'context ls' shows those that there are, 'context create' makes one")
        };
        let mut context = self.read(&self.meta_folder(name))?.ok_or_else(missing)?;
        let folder = self.tls_folder(name).join("docker");
        for file in TLS_FILES {
            match std::fs::read(folder.join(file)) {
                Ok(bytes) => context.tls.push((file.to_owned(), bytes)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(&folder.join(file), &error)),
            }
        }
        Ok(context)
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.meta_folder(name).join("meta.json").exists()
    }

    /// Writes one; what was there under its name is replaced.
    pub fn put(&self, context: &Context) -> Outcome<()> {
        let write = || -> std::io::Result<()> {
            let folder = self.tls_folder(&context.name);
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            if !context.tls.is_empty() {
                std::fs::create_dir_all(folder.join("docker"))?;
            }
            for (name, bytes) in &context.tls {
                write_private(&folder.join("docker").join(name), bytes)?;
            }
            let folder = self.meta_folder(&context.name);
            std::fs::create_dir_all(&folder)?;
            let aside = folder.join(format!("meta.json.{}", std::process::id()));
            std::fs::write(&aside, context.document().to_string())?;
            std::fs::rename(aside, folder.join("meta.json"))
        };
        write()
            .map_err(|error| Failure::new(format!("cannot write the context {:?}: {}", context.name, os_error(&error))))
    }

    /// Removes one.
    pub fn remove(&self, name: &str) -> Outcome<()> {
        for folder in [self.meta_folder(name), self.tls_folder(name)] {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unreadable(&folder, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, folder: &Path) -> Outcome<Option<Context>> {
        let path = folder.join("meta.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let document: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
        Ok(Context::from_document(&document))
    }
}

fn key(name: &str) -> String {
    let digest = Digest::of(name.as_bytes()).to_string();
    digest.trim_start_matches("sha256:").to_owned()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot use {}: {}", path.display(), os_error(error)))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    std::io::Write::write_all(&mut file, bytes)
}

/// Whether a new context may be called so.
pub fn check_name(name: &str) -> Outcome<()> {
    if name == DEFAULT {
        return Err(Failure::new("\"default\" is a reserved context name"));
    }
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let good = first && name.len() > 1 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    match good {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_lie_where_docker_looks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.list().unwrap().is_empty());
        let context = Context {
            name: "far".into(),
            description: "over there".into(),
            host: "tcp://far:2376".into(),
            tls: vec![("ca.pem".into(), b"ca".to_vec())],
            ..Context::default()
        };
        store.put(&context).unwrap();
        // As `printf far | sha256sum` says it.
        let key = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
        assert!(folder.path().join("contexts/meta").join(key).join("meta.json").exists());
        assert_eq!(store.get("far").unwrap(), context);
        assert_eq!(store.list().unwrap()[0].host, "tcp://far:2376");
        store.remove("far").unwrap();
        assert!(!store.has("far") && store.get("far").is_err());
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("far-1").is_ok());
        for bad in ["default", "", "a", "-x", "a b", "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
