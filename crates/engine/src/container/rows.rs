//! Containers in the state database.

use rusqlite::Savepoint;
use wharf_types::{Error, Id, Result};

use super::owner::Snapshot;
use super::record::Record;
use super::state::State;
use crate::store::{Durability, Store};

/// A row as it was read, damaged or not.
pub struct Row {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Record and state, or why they cannot be read.
    pub content: Result<(Record, State)>,
}

/// Writes a new container; the name must be free.
pub async fn insert(store: &Store, record: &Record, durability: Durability) -> Result<()> {
    let (id, name) = (record.id.to_string(), record.name.clone());
    let (record, state) = (crate::json::write(record)?, crate::json::write(&State::Created)?);
    let write = move |s: &Savepoint<'_>| {
        s.prepare_cached("INSERT INTO container VALUES (?1, ?2, ?3, ?4)")?.execute((id, name, record, state)).map(drop)
    };
    store.write(durability, write).await
}

/// Writes a container's record and state; under way when this returns.
pub fn update(
    store: &Store,
    snapshot: &Snapshot,
    durability: Durability,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let (id, name) = (snapshot.record.id.to_string(), snapshot.record.name.clone());
    let documents = crate::json::write(&*snapshot.record).and_then(|r| Ok((r, crate::json::write(&snapshot.state)?)));
    let written = documents.map(|(record, state)| {
        store.write(durability, move |s: &Savepoint<'_>| {
            let statement = "UPDATE container SET name = ?2, record = ?3, state = ?4 WHERE id = ?1";
            s.prepare_cached(statement)?.execute((id, name, record, state)).map(drop)
        })
    });
    async move { written?.await }
}

/// Writes a container's state alone; under way when this returns.
pub fn update_state(
    store: &Store,
    snapshot: &Snapshot,
    durability: Durability,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let id = snapshot.record.id.to_string();
    let written = crate::json::write(&snapshot.state).map(|state| {
        store.write(durability, move |s: &Savepoint<'_>| {
            s.prepare_cached("UPDATE container SET state = ?2 WHERE id = ?1")?.execute((id, state)).map(drop)
        })
    });
    async move { written?.await }
}

/// Forgets a container, an unknown one is fine; under way when this returns.
pub fn delete(store: &Store, id: Id) -> impl Future<Output = Result<()>> + Send + use<> {
    let id = id.to_string();
    let write = move |s: &Savepoint<'_>| s.execute("DELETE FROM container WHERE id = ?1", [id]).map(drop);
    store.write(Durability::Crash, write)
}

/// Reads all containers.
pub async fn load(store: &Store) -> Result<Vec<Row>> {
    let read = |s: &Savepoint<'_>| {
        let mut query = s.prepare("SELECT id, name, record, state FROM container")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String, String, String)>>>()
    };
    let rows = store.write(Durability::Crash, read).await?;
    Ok(rows.into_iter().map(|(id, name, record, state)| Row { content: parse(&record, &state), id, name }).collect())
}

fn parse(record: &str, state: &str) -> Result<(Record, State)> {
    let damaged = |error| Error::corrupt("its row in the state database is damaged").caused_by(error);
    Ok((serde_json::from_str(record).map_err(damaged)?, serde_json::from_str(state).map_err(damaged)?))
}
