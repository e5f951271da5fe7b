//! `builder prune`: forget what was built before.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::Outcome;
use crate::grammar::number;
use crate::output::{self, size};

/// What `builder prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Forget also what images have
    #[arg(short, long)]
    all: bool,
    /// Which (until=24h, type=exec.cachemount, id=ID, description=TEXT)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Keep so much of what was used last
    #[arg(long, value_name = "bytes", aliases = ["reserved-space", "max-used-space"])]
    keep_storage: Option<String>,
}

definition! {
    PruneFlags, prune,
    names: &["builder prune", "buildx prune"],
    about: "Remove the build cache",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let filters = filters(&flags.filter)?;
    let keep = flags.keep_storage.as_deref().map(number::bytes).transpose();
    let keep = keep.map_err(crate::failure::Failure::new)?.and_then(|bytes| u64::try_from(bytes).ok());
    let what = if flags.all { "all build cache" } else { "all dangling build cache" };
    let question = format!("WARNING! This will remove {what}. Are you sure you want to continue?");
    if !flags.force && !output::confirm(&question)? {
        return Ok(0);
    }
    let report = app.client().await?.build_prune(flags.all, keep, &filters).await?;
    let mut text = String::new();
    let deleted = report.caches_deleted.unwrap_or_default();
    if !deleted.is_empty() {
        text.push_str("Deleted build cache objects:\n");
        deleted.iter().for_each(|id| text.push_str(&format!("{id}\n")));
        text.push('\n');
    }
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let space = size::decimal(report.space_reclaimed as f64);
    output::out(&format!("{text}Total reclaimed space: {space}\n"))?;
    Ok(0)
}
