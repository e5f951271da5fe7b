//! Credentials for registries: in Docker's `config.json`, or with the helper programs that it names.

mod helper;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wharf_api::system::AuthConfig;
use wharf_types::DEFAULT_DOMAIN;

use crate::env;
use crate::failure::{Failure, Outcome};

/// By which key Docker Hub is known.
pub const HUB: &str = "https://index.docker.io/v1/";

/// The key of a registry in `config.json` and with helpers.
pub fn key_of(domain: &str) -> &str {
    match domain {
        "" | DEFAULT_DOMAIN | "index.docker.io" | "registry-1.docker.io" | HUB => HUB,
        other => other,
    }
}

/// Where the person's credentials are.
#[derive(Default)]
pub struct Store {
    path: PathBuf,
    document: Map<String, Value>,
}

impl Store {
    /// Opens `config.json` of the folder of `--config`, `DOCKER_CONFIG` or `~/.docker`.
    pub fn open(folder: Option<&str>) -> Outcome<Self> {
        let path = folder_of(folder).join("config.json");
        let document = match std::fs::read(&path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => Map::new(),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
            Err(error) => {
                return Err(Failure::new(format!(
                    "cannot read {}: {}",
                    path.display(),
                    crate::output::os_error(&error)
                )));
            }
        };
        Ok(Self { path, document })
    }

    /// A setting that is a text, such as `currentContext`.
    pub fn text(&self, key: &str) -> Option<String> {
        self.document.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// A setting that is a list of texts.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let list = self.document.get(key)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// A setting that has a text for each of several names, such as `HttpHeaders`.
    pub fn pairs(&self, key: &str) -> Vec<(String, String)> {
        let pairs = self.document.get(key).and_then(Value::as_object);
        let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        pairs.map(|pairs| pairs.iter().filter_map(pair).collect()).unwrap_or_default()
    }

    /// Sets such a setting, or takes it away; [`Store::save`] makes it last.
    pub fn set_text(&mut self, key: &str, value: &str) {
        match value {
            "" => drop(self.document.remove(key)),
            value => drop(self.document.insert(key.to_owned(), value.into())),
        }
    }

    /// The credentials for a registry; empty where there are none.
    pub fn get(&self, domain: &str) -> Outcome<AuthConfig> {
        let key = key_of(domain);
        let found = match self.helper(key) {
            Some(program) => helper::get(&program, key)?,
            None => self.entry(key).map(|entry| read_entry(&entry)).transpose()?,
        };
        Ok(AuthConfig { server_address: key.to_owned(), ..found.unwrap_or_default() })
    }

    /// All credentials that are known, for a build whose images may be anywhere. A helper that fails is no reason not to
    /// build from what everybody may have.
    pub fn all(&self) -> Outcome<BTreeMap<String, AuthConfig>> {
        let mut all = BTreeMap::new();
        for section in ["auths", "credHelpers"] {
            for key in self.document.get(section).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                let found = self.get(key).unwrap_or_default();
                if !(found.password.is_empty() && found.identity_token.is_empty()) {
                    all.insert(key.clone(), found);
                }
            }
        }
        Ok(all)
    }

    /// Keeps credentials. `true` if they are kept in the clear.
    pub fn put(&mut self, domain: &str, auth: &AuthConfig) -> Outcome<bool> {
        let key = key_of(domain);
        if let Some(program) = self.helper(key) {
            helper::store(&program, key, auth)?;
            self.auths().insert(key.to_owned(), json!({}));
            return self.save().map(|()| false);
        }
        let mut entry = Map::new();
        let secret = if auth.identity_token.is_empty() { auth.password.as_str() } else { "" };
        entry.insert("auth".into(), STANDARD.encode(format!("{}:{secret}", auth.username)).into());
        if !auth.identity_token.is_empty() {
            entry.insert("identitytoken".into(), auth.identity_token.clone().into());
        }
        self.auths().insert(key.to_owned(), Value::Object(entry));
        self.save().map(|()| true)
    }

    /// Forgets credentials. `false` if there were none.
    pub fn remove(&mut self, domain: &str) -> Outcome<bool> {
        let key = key_of(domain);
        let helped = match self.helper(key) {
            Some(program) => {
                helper::get(&program, key)?.is_some().then(|| helper::erase(&program, key)).transpose()?.is_some()
            }
            None => false,
        };
        let stored = self.stored_key(key).is_some_and(|stored| self.auths().remove(&stored).is_some());
        if stored {
            self.save()?;
        }
        Ok(helped || stored)
    }

    /// The program that keeps the credentials of a registry.
    fn helper(&self, key: &str) -> Option<String> {
        let of_host = self.document.get("credHelpers").and_then(|helpers| helpers.get(key));
        let of_all = self.document.get("credsStore");
        of_host.or(of_all).and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn entry(&self, key: &str) -> Option<Value> {
        let key = self.stored_key(key)?;
        self.document.get("auths")?.get(&key).cloned()
    }

    /// Other tools write the key with a scheme or a path.
    fn stored_key(&self, key: &str) -> Option<String> {
        let auths = self.document.get("auths")?.as_object()?;
        if auths.contains_key(key) {
            return Some(key.to_owned());
        }
        auths.keys().find(|stored| bare(stored) == bare(key)).cloned()
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().unwrap_or_else(|| unreachable!("it has just been made an object"))
    }

    /// Replaces the file in one step, readable for its owner alone.
    pub fn save(&self) -> Outcome<()> {
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder)?;
            // What a link leads to is replaced, not the link.
            let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            let aside = path.with_extension(format!("json.{}", std::process::id()));
            let mut file = open_private(&aside)?;
            let mut text = serde_json::to_vec_pretty(&self.document)?;
            text.push(b'\n');
            std::io::Write::write_all(&mut file, &text)?;
            std::fs::rename(&aside, &path)
        };
        write().map_err(|error| {
            Failure::new(format!("cannot write {}: {}", self.path.display(), crate::output::os_error(&error)))
        })
    }

    /// Where it is, for a warning.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder of the client's own files.
pub fn folder_of(flag: Option<&str>) -> PathBuf {
    let home = || Path::new(&env::of_user("HOME").unwrap_or_else(|| "/root".to_owned())).join(".docker");
    flag.map(PathBuf::from).or_else(|| env::text(env::DOCKER_CONFIG).map(PathBuf::from)).unwrap_or_else(home)
}

fn open_private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The host alone.
fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or_default()
}

fn read_entry(entry: &Value) -> Outcome<AuthConfig> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut auth = AuthConfig {
        username: text("username"),
        password: text("password"),
        identity_token: text("identitytoken"),
        registry_token: text("registrytoken"),
        ..AuthConfig::default()
    };
    let encoded = text("auth");
    if !encoded.is_empty() {
        let wrong = || Failure::new("invalid auth configuration file").with_hint("log in again");
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
        let decoded = String::from_utf8(decoded).map_err(|_| wrong())?;
        let (username, password) = decoded.split_once(':').ok_or_else(wrong)?;
        (auth.username, auth.password) = (username.to_owned(), password.trim_matches('\0').to_owned());
    }
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(username: &str, password: &str) -> AuthConfig {
        AuthConfig { username: username.into(), password: password.into(), ..AuthConfig::default() }
    }

    #[test]
    fn credentials_are_kept_beside_everything_else_and_forgotten() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"detachKeys":"ctrl-x","auths":{"https://old.test/v2/":{"auth":"dTpwOnE="}}}"#)
            .unwrap();
        let place = folder.path().to_str();
        let mut store = Store::open(place).unwrap();
        let old = store.get("old.test").unwrap();
        assert_eq!((old.username.as_str(), old.password.as_str()), ("u", "p:q"));
        assert!(store.put("docker.io", &auth("me", "secret")).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("detachKeys") && text.contains(HUB) && !text.contains("secret"), "{text}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut store = Store::open(place).unwrap();
        assert_eq!(store.get("index.docker.io").unwrap().password, "secret");
        assert!(store.remove("docker.io").unwrap() && store.remove("old.test").unwrap());
        assert!(!store.remove("docker.io").unwrap());
        assert_eq!(store.get("docker.io").unwrap().username, "");
    }

    #[test]
    fn a_helper_program_keeps_them_where_one_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-x");
        let script = format!(
            "#!/bin/sh\nf={}/kept\ncase $1 in\nstore) cat > $f;;\nget) read s; [ -e $f ] && cat $f || \
             {{ echo 'credentials not found in native keychain'; exit 1; }};;\nerase) rm $f;;\nesac\n",
            folder.path().display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = json!({"credHelpers": {"reg.test": program.to_str().unwrap()}});
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let mut store = Store::open(folder.path().to_str()).unwrap();
        assert_eq!(store.get("reg.test").unwrap().username, "");
        assert!(!store.put("reg.test", &auth("me", "secret")).unwrap());
        assert_eq!(store.get("reg.test").unwrap().password, "secret");
        let token = AuthConfig { identity_token: "t".into(), username: "me".into(), ..AuthConfig::default() };
        store.put("reg.test", &token).unwrap();
        assert_eq!(store.get("reg.test").unwrap().identity_token, "t");
        assert!(store.remove("reg.test").unwrap());
        assert!(
            Store::open(folder.path().join("nowhere").to_str()).unwrap().get("reg.test").unwrap().password.is_empty()
        );
    }
}
