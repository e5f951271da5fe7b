//! Containers in the state database.

use rusqlite::Savepoint;
use serde::{Deserialize, Serialize};
use wharf_types::{Error, Id, Result};

use super::record::Record;
use super::snapshot::Snapshot;
use super::state::State;
use crate::store::{Durability, Store};

/// A row as it was read, damaged or not.
pub struct Row {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What is known of it, or why that cannot be read.
    pub content: Result<(Record, Stored)>,
}

/// What the column of the state holds.
#[derive(Debug, Serialize)]
pub struct Stored {
    /// Where it is in its life.
    pub state: State,
    /// How often its restart policy has started it again.
    pub restarts: u32,
}

/// What it may hold: rows of the first versions have the state alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Readable {
    Whole {
        state: State,
        #[serde(default)]
        restarts: u32,
    },
    Bare(State),
}

/// Writes a new container; the name must be free.
pub async fn insert(store: &Store, record: &Record, durability: Durability) -> Result<()> {
    let (id, name) = (record.id.to_string(), record.name.clone());
    let (record, state) =
        (crate::json::write(record)?, crate::json::write(&Stored { state: State::Created, restarts: 0 })?);
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
    let documents = crate::json::write(&*snapshot.record).and_then(|r| Ok((r, crate::json::write(&stored(snapshot))?)));
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
    let written = crate::json::write(&stored(snapshot)).map(|state| {
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

fn stored(snapshot: &Snapshot) -> Stored {
    Stored { state: snapshot.state.clone(), restarts: snapshot.restarts }
}

fn parse(record: &str, state: &str) -> Result<(Record, Stored)> {
    let damaged = |error| Error::corrupt("its row in the state database is damaged").caused_by(error);
    let stored = match serde_json::from_str(state).map_err(damaged)? {
        Readable::Whole { state, restarts } => Stored { state, restarts },
        Readable::Bare(state) => Stored { state, restarts: 0 },
    };
    Ok((serde_json::from_str(record).map_err(damaged)?, stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_every_version_are_read() {
        let read = |text: &str| serde_json::from_str::<Readable>(text);
        let exited = r#"{"exited":{"exit_code":3,"started_at":null,"finished_at":null}}"#;
        assert!(matches!(read("\"created\"").unwrap(), Readable::Bare(State::Created)));
        assert!(matches!(read(exited).unwrap(), Readable::Bare(State::Exited(_))));
        let whole = format!(r#"{{"state":{exited},"restarts":7}}"#);
        assert!(matches!(read(&whole).unwrap(), Readable::Whole { state: State::Exited(_), restarts: 7 }));
        assert!(read("{}").is_err());
    }
}
