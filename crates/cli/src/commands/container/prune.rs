//! `container prune`: remove all stopped containers.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output::{self, size};

/// What `container prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Which (until=24h, label=KEY=VALUE)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

definition! {
    PruneFlags, prune,
    names: &["container prune"],
    about: "Remove all stopped containers",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let filters = crate::commands::filters(&flags.filter)?;
    let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
    if !flags.force && !output::confirm(question)? {
        return Ok(0);
    }
    let report = app.client().await?.container_prune(&filters).await?;
    let mut text = String::new();
    if !report.containers_deleted.is_empty() {
        text.push_str("Deleted Containers:\n");
        text.extend(report.containers_deleted.iter().map(|id| format!("{id}\n")));
        text.push('\n');
    }
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let space = size::decimal(report.space_reclaimed as f64);
    output::out(&format!("{text}Total reclaimed space: {space}\n"))?;
    Ok(0)
}
