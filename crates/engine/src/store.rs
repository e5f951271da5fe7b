//! The state database: SQLite behind one writing thread.
//!
//! Everything that the engine must not forget is a row here; everything that it answers comes from memory, so no
//! reader ever waits for this thread. Writes that wait at the same time share one transaction (group commit): a burst
//! of starts pays for one commit, not for one each. A write that fails is rolled back alone, by its savepoint.
//!
//! Durability is chosen per write. [`Durability::Crash`] survives the death of the engine (the kernel has the bytes);
//! [`Durability::Power`] also survives the loss of power (the log is synced before the answer). Writes of the first kind
//! reach the disk within [`SYNC_DELAY`] all the same.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, Savepoint, Transaction};
use tokio::sync::oneshot;
use wharf_types::{Error, Kind, Result};

/// How long a [`Durability::Crash`] write may stay away from the disk.
const SYNC_DELAY: Duration = Duration::from_millis(200);

/// The most writes that share one transaction.
const GROUP: usize = 64;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The death of the engine.
    Crash,
    /// The loss of power.
    Power,
}

/// A handle to the database; clones share the one thread.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    durability: Durability,
    run: Write,
    /// Called when the transaction that contains the write has been committed, or with what went wrong.
    done: Box<dyn FnOnce(rusqlite::Result<Answer>) + Send>,
}

type Answer = Box<dyn std::any::Any + Send>;
type Write = Box<dyn FnOnce(&Savepoint<'_>) -> rusqlite::Result<Answer> + Send>;

impl Store {
    /// Opens or makes the database at `path` and starts its thread, which ends with the last handle.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when the file is no database of ours, [`Kind::System`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = connect(path).map_err(|error| describe(path, error))?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("wharf-store".into())
            .spawn(move || serve(connection, &queue))
            .map_err(|error| Error::from(error).with_hint("the host is out of threads"))?;
        Ok(Self { jobs })
    }

    /// Runs `write` in a transaction; the answer comes once it is as durable as asked. The write is under way when this
    /// returns, whether or not anyone waits for the answer, and writes happen in the order in which they were asked for.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] on a full disk, [`Kind::System`] for whatever else the database reports.
    pub fn write<T, F>(&self, durability: Durability, write: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Savepoint<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            durability,
            run: Box::new(move |savepoint| write(savepoint).map(|value| Box::new(value) as Answer)),
            // The caller may have gone away; the write stands all the same.
            done: Box::new(move |result| drop(reply.send(result))),
        };
        // If the thread is gone, so is the other end of the answer.
        drop(self.jobs.send(job));
        async move {
            let value = answer.await.map_err(|_| stopped())?.map_err(report)?;
            value.downcast::<T>().map(|value| *value).map_err(|_| stopped())
        }
    }
}

fn stopped() -> Error {
    Error::system("the state database has stopped").with_hint("restart the engine; its log tells why")
}

fn serve(mut connection: Connection, queue: &mpsc::Receiver<Job>) {
    let mut unsynced = false;
    loop {
        let first = match queue.recv_timeout(if unsynced { SYNC_DELAY } else { Duration::MAX }) {
            Ok(job) => job,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                unsynced = !checkpoint(&connection);
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        let mut group = vec![first];
        group.extend(queue.try_iter().take(GROUP - 1));
        unsynced |= group.iter().any(|job| job.durability == Durability::Crash);
        commit_group(&mut connection, group);
    }
    checkpoint(&connection);
}

/// Runs all writes of `group` in one transaction and tells each its result after the commit.
fn commit_group(connection: &mut Connection, group: Vec<Job>) {
    let durability = group.iter().map(|job| job.durability).max().unwrap_or(Durability::Crash);
    let mut results = Vec::with_capacity(group.len());
    let committed = run_group(connection, durability, group, &mut results);
    for (done, result) in results {
        match &committed {
            Ok(()) => done(result),
            Err(error) => done(Err(again(error))),
        }
    }
}

type Outcome = (Box<dyn FnOnce(rusqlite::Result<Answer>) + Send>, rusqlite::Result<Answer>);

fn run_group(
    connection: &mut Connection,
    durability: Durability,
    group: Vec<Job>,
    results: &mut Vec<Outcome>,
) -> rusqlite::Result<()> {
    let level = if durability == Durability::Power { "FULL" } else { "NORMAL" };
    let begun = connection.pragma_update(None, "synchronous", level).and_then(|()| connection.transaction());
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => {
            results.extend(group.into_iter().map(|job| (job.done, Err(again(&error)))));
            return Err(error);
        }
    };
    for job in group {
        let result = run_in_savepoint(&mut transaction, job.run);
        results.push((job.done, result));
    }
    transaction.commit()
}

fn run_in_savepoint(transaction: &mut Transaction<'_>, run: Write) -> rusqlite::Result<Answer> {
    let savepoint = transaction.savepoint()?;
    let value = run(&savepoint)?;
    savepoint.commit()?;
    Ok(value)
}

/// Moves the log into the database and syncs both; whether it went well.
fn checkpoint(connection: &Connection) -> bool {
    let synced = connection
        .pragma_update(None, "synchronous", "FULL")
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())));
    if let Err(error) = &synced {
        tracing::warn!(%error, "the state database could not be synced; trying again");
    }
    synced.is_ok()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The thread checkpoints when nobody waits.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -512)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

/// Documents are JSON: a field more needs no migration, and a person can read them with `sqlite3`.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS container (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL, state TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS network (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS build_cache (key TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS volume (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
";

fn describe(path: &Path, error: rusqlite::Error) -> Error {
    let kind = kind_of(&error);
    let message = format!("cannot open the state database {}", path.display());
    let hint = match kind {
        Kind::Corrupt => "move the file away to start with an empty state; images and volumes stay",
        _ => "the folder must exist, be writable and have space left",
    };
    Error::new(kind, message).with_hint(hint).caused_by(error)
}

fn report(error: rusqlite::Error) -> Error {
    Error::new(kind_of(&error), "cannot write to the state database").caused_by(error)
}

fn kind_of(error: &rusqlite::Error) -> Kind {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory) => Kind::Exhausted,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Corrupt,
        Some(ErrorCode::ConstraintViolation) => Kind::Conflict,
        _ => Kind::System,
    }
}

/// The same error once more, for everyone who waited for the same commit.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(1), Some(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn put(store: &Store, key: &'static str) -> Result<usize> {
        let write = move |s: &Savepoint<'_>| s.execute("INSERT INTO meta VALUES (?1, 'x')", [key]);
        store.write(Durability::Power, write).await
    }

    #[tokio::test]
    async fn a_write_that_fails_takes_nothing_else_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state.db")).unwrap();
        let (first, twice, other) = tokio::join!(put(&store, "a"), put(&store, "a"), put(&store, "b"));
        assert_eq!((first.unwrap(), other.unwrap()), (1, 1));
        assert_eq!(twice.unwrap_err().kind(), Kind::Conflict);
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        put(&Store::open(&path).unwrap(), "a").await.unwrap();
        let count = |s: &Savepoint<'_>| s.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0));
        assert_eq!(Store::open(&path).unwrap().write(Durability::Crash, count).await.unwrap(), 1);
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        assert_eq!(Store::open(&path).unwrap_err().kind(), Kind::Corrupt);
    }
}
