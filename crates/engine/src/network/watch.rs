//! Watching the firewall's table: what other programs take out of it is put back at once.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wharf_network::plan::PortPlan;
use wharf_network::{Firewall, Watch};
use wharf_types::{Result, ResultExt};

use super::Networks;

#[expect(
    deprecated,
    reason = "the successor is unsafe for the sake of types that lie about their descriptor; OwnedFd does not"
)]
fn arriving(watch: &Watch) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(watch.as_fd().try_clone_to_owned()?, Interest::READABLE)
}

impl Networks {
    /// Puts back what somebody takes out of the firewall's table (a firewall that starts anew flushes everything), as long
    /// as the engine lives. `published` tells the ports that containers have.
    pub(crate) fn keep_watch(&self, published: impl Fn() -> Vec<PortPlan> + Send + Sync + 'static) {
        let (networks, published) = (self.clone(), Arc::new(published));
        tokio::spawn(async move {
            if let Err(error) = networks.watch(&*published).await {
                tracing::error!(error = %error.chain(), "the firewall is not watched: a flush needs a restart of the engine");
            }
        });
    }

    async fn watch(&self, published: &(dyn Fn() -> Vec<PortPlan> + Send + Sync)) -> Result<()> {
        let table = Firewall::table_name(&self.inner.engine_id);
        let mut watch = Watch::open(&table, wharf_monitor::NAME)?;
        let news = arriving(&watch).context("cannot wait for news of the firewall")?;
        loop {
            let mut ready = news.readable().await.context("cannot wait for news of the firewall")?;
            // First this: what comes while it is read makes it ready again.
            ready.clear_ready();
            let alarm = watch.read()?;
            if alarm && let Err(error) = self.restore(published).await {
                tracing::error!(error = %error.chain(), "the firewall is not as it should be");
            }
        }
    }

    /// Puts back what is missing.
    async fn restore(&self, published: &(dyn Fn() -> Vec<PortPlan> + Send + Sync)) -> Result<()> {
        let ready = self.inner.ready.lock().await;
        let Some(firewall) = ready.firewall.clone() else { return Ok(()) };
        let (rules, engine_id, guard) = (self.ready_rules()?, self.inner.engine_id.clone(), ready.guard.clone());
        // Only now: whatever started since the alarm is among them.
        let ports = published();
        let restored = crate::blocking(move || {
            if firewall.is_intact(&rules, &ports)? {
                return Ok(false);
            }
            guard.iter().try_for_each(|guard| guard.ensure(&rules))?;
            Firewall::ensure(&engine_id, &rules)?.publish_missing(&ports).map(|()| true)
        })
        .await?;
        drop(ready);
        if restored {
            self.inner.restored.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("another program changed the firewall's rules; they have been restored");
        }
        Ok(())
    }

    /// How often the firewall was restored. A port of a container that ended just then may have been restored with it.
    pub(crate) fn restored(&self) -> u64 {
        self.inner.restored.load(Ordering::Relaxed)
    }
}
