//! `volume prune`: remove volumes that no container uses.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::{Failure, Outcome};
use crate::output::{self, size};

/// What `volume prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Remove volumes with a name as well
    #[arg(short, long)]
    all: bool,
    /// Which (label=KEY=VALUE)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

definition! {
    PruneFlags, prune,
    names: &["volume prune"],
    about: "Remove unused volumes",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let mut filters = filters(&flags.filter)?;
    if flags.all && filters.contains("all") {
        return Err(Failure::new("conflicting options: cannot specify both --all and --filter all=1"));
    }
    if flags.all {
        filters.add("all", "true");
    }
    let which = if flags.all { "all volumes" } else { "anonymous local volumes" };
    let question = format!(
        "WARNING! This will remove {which} not used by at least one container.\nAre you sure you want to continue?"
    );
    if !flags.force && !output::confirm(&question)? {
        return Ok(0);
    }
    let report = app.client().await?.volume_prune(&filters).await?;
    let mut text = String::new();
    if !report.volumes_deleted.is_empty() {
        text.push_str("Deleted Volumes:\n");
        text.extend(report.volumes_deleted.iter().map(|name| format!("{name}\n")));
        text.push('\n');
    }
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let space = size::decimal(report.space_reclaimed as f64);
    output::out(&format!("{text}Total reclaimed space: {space}\n"))?;
    Ok(0)
}
