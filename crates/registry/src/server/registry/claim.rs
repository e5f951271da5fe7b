//! How those who use content and the one who collects garbage keep out of each other's way, without locks.
//!
//! Whoever is going to rely on content first writes down that it does (a mark, which is then new), and *then* looks
//! whether the content is announced to go. The collector announces first, *then* reads the marks, and takes only what has
//! none that is new or true. Since a store shows every finished write to everyone, at least one of the two sees the
//! other: the collector lets go, or the user waits until the collector is done and looks again at what is left.
//! It is Dekker's old exclusion, with the announcement and the mark as its two flags.

use std::time::Duration;

use wharf_types::Digest;

use super::{Registry, keys};
use crate::server::names::Name;
use crate::server::problem::{Answered, Problem};

/// How long the collector may take over one piece of content before a request gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

impl Registry {
    /// Writes the marks, and makes sure that what they claim is not about to go: afterwards it is there and stays, or it
    /// is not there.
    pub(super) async fn claim(&self, marks: &[String], content: &[Digest]) -> Answered<()> {
        self.store.mark(marks).await?;
        let mut waited = false;
        for digest in content {
            waited |= self.wait_until_spared(digest).await?;
        }
        if waited {
            // The collector may have taken the marks along.
            self.store.mark(marks).await?;
        }
        Ok(())
    }

    /// Whether the collector had to be waited for.
    async fn wait_until_spared(&self, digest: &Digest) -> Answered<bool> {
        let mut left = PATIENCE;
        let mut waited = false;
        while self.store.is_doomed(digest).await? {
            waited = true;
            left = left.checked_sub(PAUSE).ok_or_else(|| {
                Problem::unavailable("this content is being removed at the moment; try again")
                    .about(serde_json::json!({ "digest": digest }))
            })?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(waited)
    }

    /// The size of a blob that the repository has, which it will go on having for a while.
    pub(super) async fn claim_blob(&self, name: &Name, blob: &Digest) -> Answered<Option<u64>> {
        let link = keys::link(name, blob);
        let Some(age) = self.store.age(&link).await? else { return Ok(None) };
        // Renewed at half its time, a mark costs one write in a day and never gets old while it is used.
        if age > self.keeping.grace / 2 {
            self.store.mark(std::slice::from_ref(&link)).await?;
            if self.wait_until_spared(blob).await? {
                // It is decided anew by what is left: without the blob the link means nothing.
                if self.store.stat(blob).await?.is_none() {
                    self.store.delete(&[link]).await?;
                    return Ok(None);
                }
                self.store.mark(&[link]).await?;
            }
        }
        Ok(self.store.stat(blob).await?)
    }
}
