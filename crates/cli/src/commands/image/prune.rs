//! `image prune`: remove images that nothing uses.

use clap::Args;
use wharf_api::system::upkeep::PruneItem;
use wharf_client::ItemOrProgress;
use wharf_types::Kind;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::Outcome;
use crate::output::{self, size};

/// What `image prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Remove all that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Which (until=24h, label=KEY=VALUE)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Give up blobs of unpacked layers as well, where the same bytes can be made anew or fetched again
    #[arg(long)]
    blobs: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

definition! {
    PruneFlags, prune,
    names: &["image prune"],
    about: "Remove unused images",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let mut filters = filters(&flags.filter)?;
    filters.add("dangling", if flags.all { "false" } else { "true" });
    let what =
        if flags.all { "all images without at least one container associated to them" } else { "all dangling images" };
    let question = format!("WARNING! This will remove {what}.\nAre you sure you want to continue?");
    if !flags.force && !output::confirm(&question)? {
        return Ok(0);
    }
    match app.client().await?.image_prune_with_progress(&filters, flags.blobs).await {
        Ok(mut items) => {
            let mut said = Said::default();
            while let Some(line) = items.next().await {
                if let ItemOrProgress::Item(item) = line? {
                    said.item(&item)?;
                }
            }
        }
        // Another engine than wharf's tells everything at the end.
        Err(error) if error.kind() == Kind::NotFound && !flags.blobs => {
            let report = app.client().await?.image_prune(&filters).await?;
            let mut said = Said::default();
            for item in report.images_deleted.into_inner() {
                said.item(&PruneItem::Removed(item))?;
            }
            said.item(&PruneItem::Reclaimed(report.space_reclaimed))?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(0)
}

/// What was printed.
#[derive(Default)]
struct Said {
    heading: bool,
    /// Blobs that were tried.
    tried: u64,
}

impl Said {
    /// Prints each thing as it goes.
    fn item(&mut self, item: &PruneItem) -> Outcome<()> {
        let text = match item {
            PruneItem::Removed(item) => {
                let heading = if self.heading { "" } else { "Deleted Images:\n" };
                self.heading = true;
                match (&item.untagged, &item.deleted) {
                    (Some(name), _) => format!("{heading}untagged: {name}\n"),
                    (None, Some(id)) => format!("{heading}deleted: {id}\n"),
                    (None, None) => heading.to_owned(),
                }
            }
            PruneItem::GivingUp(blob) => {
                self.tried += 1;
                if !output::is_terminal() {
                    return Ok(());
                }
                format!("\r\x1b[KBlob {}: {}", self.tried, output::short_id(blob))
            }
            PruneItem::GaveUp { blobs, kept } => {
                let clear = if output::is_terminal() && self.tried > 0 { "\r\x1b[K" } else { "" };
                format!("{clear}Blobs given up, for they can be made anew or fetched again: {blobs}; kept: {kept}\n")
            }
            #[allow(clippy::cast_precision_loss)] // four digits are shown
            PruneItem::Reclaimed(bytes) => {
                let space = size::decimal(*bytes as f64);
                format!("{}Total reclaimed space: {space}\n", if self.heading { "\n" } else { "" })
            }
        };
        output::out(&text)
    }
}
