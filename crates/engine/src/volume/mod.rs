//! Volumes: folders that outlive containers, file systems that are mounted while containers use them, and what plugins
//! provide.

mod active;
mod local;
mod plugin;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use wharf_types::{Error, Result, ResultExt, validate_name};

use crate::container::Record;
use crate::event::Events;
use crate::names;
use crate::store::{Durability, Store};
use plugin::Plugin;
pub(crate) use plugin::plugin_exchange;

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Volume {
    /// Its unique name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The driver; empty means `local`.
    #[serde(default)]
    pub driver: String,
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
    active: active::Active,
    /// Read-locked by creations, which rely on volumes, write-locked by removals.
    changing: Arc<tokio::sync::RwLock<()>>,
    /// Where sockets of plugins are looked for beside Docker's places.
    plugins: PathBuf,
}

impl Volumes {
    /// Reads the volumes whose folders are in `dir`.
    pub(crate) async fn open(dir: PathBuf, plugins: PathBuf, store: &Store, events: &Events) -> Result<Self> {
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
        Ok(Self {
            inner: Arc::new(Inner {
                dir,
                store: store.clone(),
                events: events.clone(),
                table,
                active: active::Active::default(),
                changing: Arc::default(),
                plugins,
            }),
        })
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
        let anonymous = request.name.is_none();
        let name = request.name.unwrap_or_else(|| names::fresh_id().to_string());
        if let Some(volume) = self.table().get(&name) {
            return same_driver(volume, &request.driver).map(|()| volume.clone());
        }
        if !validate_name(&name) {
            return Err(Error::invalid(format!(
                "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )));
        }
        let Request { driver, labels, options, .. } = request;
        let driver = if driver.is_empty() { LOCAL.to_owned() } else { driver };
        let volume = Volume { name: name.clone(), created: crate::time::now(), driver, labels, options, anonymous };
        self.make(&volume).await?;
        self.table().insert(name.clone(), volume.clone());
        self.tell("create", &volume);
        Ok(volume)
    }

    /// Removes a volume with all that is in it; the caller knows that no container uses it.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let volume = self.find(name)?;
        if !volume.is_local() {
            let (plugins, volume) = (self.inner.plugins.clone(), volume.clone());
            crate::blocking(move || Plugin::find(&volume.driver, &plugins)?.remove(&volume.name)).await?;
        }
        let key = name.to_owned();
        let forget =
            move |s: &rusqlite::Savepoint<'_>| s.execute("DELETE FROM volume WHERE name = ?1", [key]).map(drop);
        self.inner.store.write(Durability::Power, forget).await?;
        self.table().remove(name);
        let dir = self.inner.dir.join(name);
        let mounted = volume.needs_mounting() && volume.is_local();
        crate::blocking(move || {
            // What is mounted there is not the volume's to delete.
            if mounted {
                local::deactivate(&dir.join("_data"))?;
            }
            match std::fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot remove {}", dir.display()))
                }
                _ => Ok(()),
            }
        })
        .await?;
        self.tell("destroy", &volume);
        Ok(())
    }

    /// Keeps all volumes until the guard goes.
    pub(crate) async fn hold(&self) -> tokio::sync::OwnedRwLockReadGuard<()> {
        Arc::clone(&self.inner.changing).read_owned().await
    }

    /// Waits until nobody relies on volumes that are not yet known to be in use, and keeps it so.
    pub(crate) async fn alone(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.inner.changing).write_owned().await
    }

    /// Where a volume is and what its driver says about it; for those of plugins the plugin is asked.
    pub async fn place(&self, volume: &Volume) -> (String, Option<serde_json::Map<String, serde_json::Value>>, String) {
        if volume.is_local() {
            return (self.path(&volume.name).display().to_string(), None, LOCAL.to_owned());
        }
        let (plugins, volume) = (self.inner.plugins.clone(), volume.clone());
        let asked = crate::blocking(move || {
            let plugin = Plugin::find(&volume.driver, &plugins)?;
            let known = plugin.get(&volume.name)?;
            Ok((known.mountpoint, known.status, plugin.scope()))
        });
        // A plugin that is away does not hide the volume.
        asked.await.unwrap_or_else(|_| (String::new(), None, LOCAL.to_owned()))
    }

    fn tell(&self, action: &str, volume: &Volume) {
        let driver = if volume.driver.is_empty() { LOCAL } else { &volume.driver };
        self.inner.events.publish("volume", action, &volume.name, [("driver".to_owned(), driver.to_owned())]);
    }

    /// Removes the volumes that were made for this container alone. What fails is logged: the container goes all the same.
    pub(crate) async fn remove_anonymous(&self, record: &Record, is_shared: impl Fn(&str) -> bool) {
        let own = record.mounts.iter().filter(|mount| mount.anonymous).filter_map(|mount| mount.volume.as_deref());
        for name in own.filter(|name| !is_shared(name)) {
            if let Err(error) = self.remove(name).await {
                tracing::warn!(volume = name, error = %error.chain(), "an anonymous volume was not removed");
            }
        }
    }

    /// The folder first, then the row: a folder without a row is swept by the next engine, a row without a folder would
    /// be a volume that has lost its content.
    async fn make(&self, volume: &Volume) -> Result<()> {
        let path = self.path(&volume.name);
        let (asked, plugins) = (volume.clone(), self.inner.plugins.clone());
        crate::blocking(move || {
            if !asked.is_local() {
                let plugin = Plugin::find(&asked.driver, &plugins)?;
                // One that another engine made there, or this one before its row was written, is taken as it is.
                return match plugin.get(&asked.name) {
                    Ok(_) => Ok(()),
                    Err(_) => plugin.create(&asked.name, &asked.options),
                };
            }
            local::plan(&asked.options)?;
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

/// The engine's own driver.
const LOCAL: &str = "local";

fn same_driver(volume: &Volume, wanted: &str) -> Result<()> {
    let own = if volume.driver.is_empty() { LOCAL } else { &volume.driver };
    if wanted.is_empty() || wanted == own {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "a volume named {} already exists with the {own} driver. Choose a different volume name",
        volume.name
    )))
}
