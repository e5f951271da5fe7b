//! Volumes: folders that outlive containers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wharf_types::{Error, Result, ResultExt, validate_name};

use crate::container::Record;
use crate::event::Events;
use crate::names;
use crate::store::{Durability, Store};

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    /// Its unique name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Whether nobody named it.
    #[serde(default)]
    pub anonymous: bool,
}

/// What a new volume shall be like.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its name; a random one where it is `None`.
    pub name: Option<String>,
    /// The driver; empty means `local`.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// All volumes of an engine; clones share them.
#[derive(Clone)]
pub struct Volumes {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    store: Store,
    events: Events,
    table: Mutex<BTreeMap<String, Volume>>,
}

impl Volumes {
    /// Reads the volumes whose folders are in `dir`.
    pub(crate) async fn open(dir: PathBuf, store: &Store, events: &Events) -> Result<Self> {
        let read = |s: &rusqlite::Savepoint<'_>| {
            let mut query = s.prepare("SELECT record FROM volume")?;
            query.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = store.write(Durability::Crash, read).await?;
        let parse = |text: String| {
            let volume: Volume = serde_json::from_str(&text)
                .map_err(|error| Error::corrupt("a volume in the state database is damaged").caused_by(error))?;
            Ok((volume.name.clone(), volume))
        };
        let table = Mutex::new(rows.into_iter().map(parse).collect::<Result<_>>()?);
        Ok(Self { inner: Arc::new(Inner { dir, store: store.clone(), events: events.clone(), table }) })
    }

    /// All volumes by name.
    pub fn list(&self) -> Vec<Volume> {
        self.table().values().cloned().collect()
    }

    /// The volume of this name.
    pub fn find(&self, name: &str) -> Result<Volume> {
        let found = self.table().get(name).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!("get {name}: no such volume")).with_hint("'wharf volume ls' lists them")
        })
    }

    /// The folder that is mounted.
    pub fn path(&self, name: &str) -> PathBuf {
        self.inner.dir.join(name).join("_data")
    }

    /// The volume of this name, made if it is not there.
    ///
    /// # Errors
    /// `InvalidParameter` for a bad name, `NotFound` for an unknown driver.
    pub async fn ensure(&self, request: Request) -> Result<Volume> {
        check_driver(&request)?;
        let anonymous = request.name.is_none();
        let name = request.name.unwrap_or_else(|| names::fresh_id().to_string());
        if let Some(volume) = self.table().get(&name) {
            return Ok(volume.clone());
        }
        if !validate_name(&name) {
            return Err(Error::invalid(format!(
                "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )));
        }
        let (labels, options) = (request.labels, request.options);
        let volume = Volume { name: name.clone(), created: crate::time::now(), labels, options, anonymous };
        self.make(&volume).await?;
        self.table().insert(name.clone(), volume.clone());
        self.inner.events.publish("volume", "create", &name, [("driver".to_owned(), "local".to_owned())]);
        Ok(volume)
    }

    /// Removes a volume with all that is in it; the caller knows that no container uses it.
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.find(name)?;
        let key = name.to_owned();
        let forget =
            move |s: &rusqlite::Savepoint<'_>| s.execute("DELETE FROM volume WHERE name = ?1", [key]).map(drop);
        self.inner.store.write(Durability::Power, forget).await?;
        self.table().remove(name);
        let dir = self.inner.dir.join(name);
        crate::blocking(move || match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", dir.display()))
            }
            _ => Ok(()),
        })
        .await?;
        self.inner.events.publish("volume", "destroy", name, [("driver".to_owned(), "local".to_owned())]);
        Ok(())
    }

    /// Removes the volumes that were made for this container alone. What fails is logged: the container goes all the same.
    pub(crate) async fn remove_anonymous(&self, record: &Record) {
        for name in record.mounts.iter().filter(|mount| mount.anonymous).filter_map(|mount| mount.volume.as_deref()) {
            if let Err(error) = self.remove(name).await {
                tracing::warn!(volume = name, error = %error.chain(), "an anonymous volume was not removed");
            }
        }
    }

    /// The folder first, then the row: a folder without a row is swept by the next engine, a row without a folder would
    /// be a volume that has lost its content.
    async fn make(&self, volume: &Volume) -> Result<()> {
        let path = self.path(&volume.name);
        crate::blocking(move || {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot create the volume's folder {}", path.display()))
        })
        .await?;
        let (name, record) = (volume.name.clone(), crate::json::write(volume)?);
        let insert = move |s: &rusqlite::Savepoint<'_>| {
            s.execute("INSERT OR REPLACE INTO volume VALUES (?1, ?2)", (name, record)).map(drop)
        };
        self.inner.store.write(Durability::Power, insert).await
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_driver(request: &Request) -> Result<()> {
    match request.driver.as_str() {
        "" | "local" => {}
        other => {
            return Err(Error::not_found(format!(
                "error looking up volume plugin {other}: plugin \"{other}\" not found"
            )));
        }
    }
    match request.options.keys().next() {
        Some(option) => Err(Error::not_implemented(format!("volume option {option:?} is not there yet"))),
        None => Ok(()),
    }
}
