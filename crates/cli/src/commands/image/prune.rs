//! `image prune`: remove images that nothing uses.

use clap::Args;

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
    let report = app.client().await?.image_prune(&filters).await?;
    let mut text = String::new();
    if !report.images_deleted.is_empty() {
        text.push_str("Deleted Images:\n");
        for item in &report.images_deleted {
            match (&item.untagged, &item.deleted) {
                (Some(name), _) => text.push_str(&format!("untagged: {name}\n")),
                (None, Some(id)) => text.push_str(&format!("deleted: {id}\n")),
                (None, None) => {}
            }
        }
        text.push('\n');
    }
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let space = size::decimal(report.space_reclaimed as f64);
    output::out(&format!("{text}Total reclaimed space: {space}\n"))?;
    Ok(0)
}
