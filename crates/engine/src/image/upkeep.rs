//! Keeping the store in order: check, prune with progress, blobs given up, disk usage.

use std::collections::HashSet;

use wharf_api::filters::Filters;
use wharf_api::image::DeleteItem;
use wharf_api::system::upkeep::{CheckItem, CheckSummary, Finding, PruneItem};
use wharf_image::{Checked, Image, Look, Pruned, StoreUsage};
use wharf_types::{Digest, Result};

use super::Images;
use crate::container::Containers;
use crate::container::view::parse_until;
use crate::time;

/// How far a check has come, or what it has found.
#[derive(Debug)]
pub enum CheckStep {
    /// Bytes of blobs that were read, of so many.
    Blobs(u64, u64),
    /// Layers that were compared, of so many.
    Layers(u64, u64),
    /// Something to tell.
    Item(CheckItem),
}

impl Images {
    /// Looks for damage, and repairs it if that is asked for. `tell` hears everything as long as it says `true`.
    pub async fn check(
        &self,
        repair: bool,
        containers: &Containers,
        mut tell: impl FnMut(CheckStep) -> bool + Send + 'static,
    ) -> Result<()> {
        let containers = containers.clone();
        self.run(move |store| {
            let in_use = |layer: &Digest| containers.is_layer_live(layer);
            let checked = store.check(repair, &in_use, &mut |look| tell(step(look)))?;
            tell(CheckStep::Item(CheckItem::Summary(summary(&checked))));
            Ok(())
        })
        .await
    }

    /// Removes images without a name, or with `dangling=false` those that no container uses. With `blobs`, the blobs of
    /// layers go as well that can be made anew or fetched again. `tell` hears of everything as long as it says `true`.
    pub async fn prune(
        &self,
        filters: &Filters,
        blobs: bool,
        containers: &Containers,
        mut tell: impl FnMut(PruneItem) -> bool + Send + 'static,
    ) -> Result<()> {
        filters.check_names(&["dangling", "label", "label!", "until"])?;
        let all = filters.flag("dangling")? == Some(false);
        let until = filters.values("until").next().map(parse_until).transpose()?;
        let (filters, users, this) = (filters.clone(), containers.clone(), self.clone());
        self.run(move |store| {
            let wanted = |image: &Image| {
                (all || image.tags.is_empty())
                    && until.is_none_or(|until| time::unix(image.created()) <= until)
                    && filters.match_labels(&image.config().labels)
            };
            let mut told = |part: &Pruned| {
                this.report(part.removed.clone()).into_iter().all(|item| tell(PruneItem::Removed(item)))
            };
            let mut reclaimed = store.prune(&wanted, &|image| users.using_image(image), &mut told)?.reclaimed;
            if blobs {
                let mut trying = |blob: &Digest| tell(PruneItem::GivingUp(blob.to_string()));
                let given = store.give_up_blobs(&mut this.giving_up(&mut trying))?;
                reclaimed += given.bytes;
                tell(PruneItem::GaveUp { blobs: given.blobs, kept: given.kept });
            }
            tell(PruneItem::Reclaimed(reclaimed));
            Ok(())
        })
        .await
    }

    /// Space that blobs and layers take, but for the layers that builds alone keep.
    pub async fn disk_usage(&self, containers: &Containers, of_builds: HashSet<Digest>) -> Result<StoreUsage> {
        let users = containers.clone();
        let is_active = move |image: &_| !users.using_image(image).is_empty();
        self.run(move |store| store.disk_usage(&is_active, &|layer| of_builds.contains(layer))).await
    }

    /// Gives up, in the background, the blobs of layers that can be made anew or fetched again, where the engine was told to.
    pub(crate) fn give_up_blobs_later(&self) {
        if !self.inner.gives_up_blobs {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let asking = this.clone();
            match this.run(move |store| store.give_up_blobs(&mut asking.giving_up(&mut |_| true))).await {
                Ok(given) if given.blobs > 0 => tracing::info!(?given, "blobs of unpacked layers given up"),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error.chain(), "blobs of unpacked layers were not given up"),
            }
        });
    }
}

/// Everything that a prune has said, as Docker answers it at the end.
#[derive(Debug, Default)]
pub struct PruneAnswer {
    /// What went.
    pub removed: Vec<DeleteItem>,
    /// Bytes.
    pub reclaimed: u64,
}

impl PruneAnswer {
    /// Takes one item.
    pub fn add(&mut self, item: PruneItem) {
        match item {
            PruneItem::Removed(item) => self.removed.push(item),
            PruneItem::Reclaimed(bytes) => self.reclaimed = bytes,
            PruneItem::GivingUp(_) | PruneItem::GaveUp { .. } => {}
        }
    }
}

fn step(look: Look) -> CheckStep {
    match look {
        Look::Blobs(done, total) => CheckStep::Blobs(done, total),
        Look::Layers(done, total) => CheckStep::Layers(done, total),
        Look::Found(found) => CheckStep::Item(CheckItem::Finding(Finding {
            flaw: found.flaw.to_string(),
            subject: found.subject,
            detail: found.detail,
            repaired: found.repaired,
        })),
    }
}

fn summary(checked: &Checked) -> CheckSummary {
    CheckSummary {
        blobs: checked.blobs,
        blob_bytes: checked.bytes,
        layers: checked.layers,
        uncompared: checked.uncompared,
        found: checked.found,
        repaired: checked.repaired,
    }
}
