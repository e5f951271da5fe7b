//! Who is there: containers by id and name, for readers that must not wait.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{mpsc, oneshot, watch};
use wharf_types::{Error, Id, Result};

use super::request::Request;
use super::snapshot::Snapshot;

/// How many digits of a damaged container's id name it.
const SHORT: usize = 12;

/// All containers of an engine; clones share it.
#[derive(Clone, Default)]
pub struct Directory {
    tables: Arc<RwLock<Tables>>,
}

#[derive(Default)]
struct Tables {
    entries: BTreeMap<Id, Entry>,
    /// Also holds names of containers that are being created, and of damaged ones.
    names: HashMap<String, Id>,
    /// Containers whose rows cannot be read, and why.
    damaged: BTreeMap<Id, Error>,
}

/// One container: what it is like, and where to send wishes.
#[derive(Clone)]
pub struct Entry {
    /// Its id.
    pub id: Id,
    /// Its owner's queue.
    pub requests: mpsc::Sender<Request>,
    /// What everyone may know.
    pub snapshot: watch::Receiver<Snapshot>,
    /// Read-locked by clients that were promised to see the next start and whose connection is still on its way.
    pub promised: Arc<tokio::sync::RwLock<()>>,
}

impl Entry {
    /// Sends a wish to the owner and waits for its answer.
    pub async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T>>) -> Request) -> Result<T> {
        let gone = || not_found(&self.id.to_string());
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// What is known at this moment.
    pub fn now(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }
}

impl Directory {
    /// The container with this id, name (with or without a slash before it) or unique beginning of an id.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidParameter` when several ids begin so.
    pub fn find(&self, name: &str) -> Result<Entry> {
        let tables = self.read();
        let bare = name.strip_prefix('/').unwrap_or(name);
        let by_id = || bare.parse::<Id>().ok().filter(|id| tables.entries.contains_key(id));
        if let Some((id, reason)) = tables.damaged_by(bare) {
            return Err(Error::corrupt(format!("container {} is set aside: {}", id.short(), reason.chain()))
                .with_hint(format!("'wharf rm -f {}' removes what is left of it", id.short())));
        }
        if let Some(id) = by_id().or_else(|| tables.names.get(bare).copied()) {
            return tables.entries.get(&id).cloned().ok_or_else(|| not_found(name));
        }
        let is_prefix = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let mut matching = tables.entries.values().filter(|entry| is_prefix && entry.id.to_string().starts_with(bare));
        match (matching.next(), matching.next()) {
            (Some(entry), None) => Ok(entry.clone()),
            (Some(_), Some(_)) => Err(Error::invalid(format!("Multiple IDs found with provided prefix: {bare}"))
                .with_hint("write more digits of the id")),
            _ => Err(not_found(name)),
        }
    }

    /// All containers.
    pub fn all(&self) -> Vec<Entry> {
        self.read().entries.values().cloned().collect()
    }

    /// Holds a name for a container that is about to exist or to be renamed.
    ///
    /// # Errors
    /// `Conflict`, in Docker's words, when another container has it.
    pub fn hold_name(&self, name: &str, id: Id) -> Result<()> {
        let mut tables = self.write();
        match tables.names.get(name) {
            Some(other) if *other != id => Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{other}\". You have to remove \
                 (or rename) that container to be able to reuse that name."
            ))),
            _ => {
                tables.names.insert(name.to_owned(), id);
                Ok(())
            }
        }
    }

    /// Lets go of a name.
    pub fn free_name(&self, name: &str) {
        self.write().names.remove(name);
    }

    /// Whether a container has this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.read().names.contains_key(name)
    }

    /// Adds a container.
    pub fn add(&self, name: &str, entry: Entry) {
        let mut tables = self.write();
        tables.names.insert(name.to_owned(), entry.id);
        tables.entries.insert(entry.id, entry);
    }

    /// Keeps a container whose row cannot be read: it blocks nobody, holds its name and can be removed.
    pub fn set_aside(&self, id: Id, name: &str, reason: Error) {
        let mut tables = self.write();
        tables.names.insert(name.to_owned(), id);
        tables.damaged.insert(id, reason);
    }

    /// The damaged container with this id, name or beginning of an id.
    pub fn damaged(&self, name: &str) -> Option<Id> {
        self.read().damaged_by(name.strip_prefix('/').unwrap_or(name)).map(|(id, _)| id)
    }

    /// All damaged containers: id, name, and why they are set aside.
    pub fn all_damaged(&self) -> Vec<(Id, String, String)> {
        let tables = self.read();
        let name_of = |id: &Id| tables.names.iter().find(|(_, other)| *other == id).map(|(name, _)| name.clone());
        let damaged = tables.damaged.iter();
        damaged.map(|(id, reason)| (*id, name_of(id).unwrap_or_default(), reason.chain())).collect()
    }

    /// Takes a container out.
    pub fn remove(&self, id: Id) {
        let mut tables = self.write();
        tables.damaged.remove(&id);
        tables.entries.remove(&id);
        tables.names.retain(|_, other| *other != id);
    }

    /// The path of a running container's namespace (`net`, `pid`, `ipc`, ...).
    ///
    /// # Errors
    /// `Conflict`, in Docker's words, when it does not run.
    pub fn namespace_of(&self, container: &str, kind: &str) -> Result<PathBuf> {
        let entry = self.find(container)?;
        let pid = entry.snapshot.borrow().state.running().map(|running| running.pid);
        let pid = pid.ok_or_else(|| {
            Error::conflict(format!("cannot join the {kind} namespace of a non running container: {}", entry.id))
                .with_hint("start that container first")
        })?;
        Ok(format!("/proc/{pid}/ns/{kind}").into())
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn damaged_by(&self, name: &str) -> Option<(Id, &Error)> {
        let named = self.names.get(name).copied();
        let is_meant = |id: &Id| named == Some(*id) || name.len() >= SHORT && id.to_string().starts_with(name);
        self.damaged.iter().find(|(id, _)| is_meant(id)).map(|(id, reason)| (*id, reason))
    }
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("No such container: {name}")).with_hint("'wharf ps -a' lists all containers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_container_holds_its_name_until_it_is_removed() {
        let (directory, id, other) = (Directory::default(), crate::names::fresh_id(), crate::names::fresh_id());
        directory.set_aside(id, "web", Error::corrupt("its row is damaged"));
        for name in ["web", "/web", &id.short(), &id.to_string()] {
            assert_eq!(directory.damaged(name), Some(id), "{name}");
            assert_eq!(
                directory.find(name).err().map(|error| error.kind()),
                Some(wharf_types::Kind::Corrupt),
                "{name}"
            );
        }
        assert!(directory.hold_name("web", other).is_err());
        directory.remove(id);
        assert_eq!(directory.damaged("web"), None);
        assert!(directory.hold_name("web", other).is_ok());
    }
}
