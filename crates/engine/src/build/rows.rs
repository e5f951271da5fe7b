//! The build cache in the state database.

use rusqlite::Savepoint;
use wharf_build::cache::{Journal, Record};
use wharf_types::{Digest, Result};

use crate::store::{Durability, Store};

/// Reads all records; one that is damaged is left out, for it can be made again.
pub async fn load(store: &Store) -> Result<Vec<Record>> {
    let read = |s: &Savepoint<'_>| {
        let mut query = s.prepare("SELECT record FROM build_cache")?;
        let rows = query.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = store.write(Durability::Crash, read).await?;
    Ok(rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect())
}

/// Writes behind: a record that is lost is made again.
pub struct Rows(pub Store);

impl Journal for Rows {
    fn put(&self, record: &Record) {
        let key = record.key.hex();
        match crate::json::write(record) {
            Ok(text) => drop(self.0.write(Durability::Crash, move |s: &Savepoint<'_>| {
                s.prepare_cached("INSERT OR REPLACE INTO build_cache VALUES (?1, ?2)")?.execute((key, text)).map(drop)
            })),
            Err(error) => tracing::warn!(error = %error.chain(), "a record of the build cache was not written"),
        }
    }

    fn remove(&self, key: &Digest) {
        let key = key.hex();
        drop(self.0.write(Durability::Crash, move |s: &Savepoint<'_>| {
            s.prepare_cached("DELETE FROM build_cache WHERE key = ?1")?.execute([key]).map(drop)
        }));
    }
}
