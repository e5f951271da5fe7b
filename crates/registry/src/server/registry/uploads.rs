//! Uploads: begun here, continued anywhere, ended as a blob.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use wharf_types::Digest;

use super::{Registry, keys};
use crate::server::hash::RollingHash;
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};
use crate::server::store::{Durability, Source, Upload};

/// How long a request waits for an earlier one on the same upload whose client may be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request at a time works on an upload.
#[derive(Default)]
pub struct Locks(Mutex<HashMap<String, Arc<AsyncMutex<()>>>>);

impl Locks {
    /// The lock of that name.
    pub fn of(&self, id: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds are forgotten now and then.
        if locks.len() > 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(id.to_owned()).or_default())
    }

    /// Whether a request works on the upload right now.
    pub fn is_busy(&self, id: &str) -> bool {
        self.of(id).try_lock().is_err()
    }
}

/// An upload on which this request alone works.
pub struct Held {
    /// The upload.
    pub upload: Upload,
    _lock: OwnedMutexGuard<()>,
}

impl Registry {
    /// Begins an upload.
    pub async fn begin(&self, name: &Name) -> Answered<Held> {
        let upload =
            Upload { id: new_id()?, repository: name.to_string(), hash: RollingHash::default(), pieces: Vec::new() };
        let lock = self.locks.of(&upload.id).lock_owned().await;
        self.save(&upload).await?;
        Ok(Held { upload, _lock: lock })
    }

    /// Takes up an upload of the repository.
    pub async fn hold(&self, name: &Name, id: &str) -> Answered<Held> {
        let lock = tokio::time::timeout(PATIENCE, self.locks.of(id).lock_owned()).await;
        let lock = lock.map_err(|_| Problem::too_many("another request works on this upload"))?;
        Ok(Held { upload: self.upload(name, id).await?, _lock: lock })
    }

    /// How far an upload of the repository has come, as far as it was saved.
    pub async fn upload(&self, name: &Name, id: &str) -> Answered<Upload> {
        let unknown = || Problem::upload_unknown("there is no such upload; begin a new one");
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
            return Err(unknown());
        }
        let document = self.store.get(&keys::upload(id)).await?.ok_or_else(unknown)?;
        let upload: Upload = serde_json::from_slice(&document.bytes).map_err(|_| unknown())?;
        if upload.repository == name.as_str() { Ok(upload) } else { Err(unknown()) }
    }

    /// Adds to an upload what the source gives. What came before a failure of the source is kept and the failure told.
    pub async fn append(&self, held: &mut Held, source: &mut Source) -> Answered<()> {
        while !source.is_finished() {
            source.allow(self.store.portion());
            let before = held.upload.offset();
            let written = self.store.append(&mut held.upload, source).await;
            if held.upload.offset() != before {
                self.save(&held.upload).await?;
            }
            written?;
        }
        match source.failure() {
            Some(error) => Err(Problem::upload_invalid(format!("the content ended early: {}", error.chain()))),
            None => Ok(()),
        }
    }

    /// Makes a blob of an upload.
    pub async fn commit(&self, name: &Name, held: Held, digest: &Digest) -> Answered<()> {
        let actual = held.upload.hash.digest();
        if actual != *digest {
            self.drop_upload(&held).await?;
            return Err(Problem::digest_invalid("the content does not have this digest")
                .about(serde_json::json!({ "digest": digest, "actual": actual })));
        }
        self.claim(&[keys::link(name, digest)], &[*digest]).await?;
        self.store.commit(&held.upload).await?;
        Ok(self.store.delete(&[keys::upload(&held.upload.id)]).await?)
    }

    /// Forgets an upload and what has arrived.
    pub async fn drop_upload(&self, held: &Held) -> Answered<()> {
        self.store.discard(&held.upload).await?;
        Ok(self.store.delete(&[keys::upload(&held.upload.id)]).await?)
    }

    /// Forgets an upload that nobody has worked on for too long; says whether it did.
    pub(super) async fn expire(&self, id: &str) -> Answered<bool> {
        if self.locks.is_busy(id) {
            return Ok(false);
        }
        let Some(document) = self.store.get(&keys::upload(id)).await? else { return Ok(false) };
        if document.age < self.keeping.uploads {
            return Ok(false);
        }
        if let Ok(upload) = serde_json::from_slice::<Upload>(&document.bytes) {
            self.store.discard(&upload).await?;
        }
        self.store.delete(&[keys::upload(id)]).await?;
        Ok(true)
    }

    async fn save(&self, upload: &Upload) -> Answered<()> {
        let bytes = serde_json::to_vec(upload).map_err(|error| wharf_types::Error::system(error.to_string()))?;
        Ok(self.store.put(&keys::upload(&upload.id), bytes.into(), Durability::Written).await?)
    }
}

/// 128 bits that nobody can guess: knowing an upload's id is part of the right to go on with it.
fn new_id() -> Answered<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| wharf_types::Error::system(format!("there are no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}
