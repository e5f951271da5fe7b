//! `network prune`: remove networks that no running container is on.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::Outcome;
use crate::output;

/// What `network prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Which (label=KEY=VALUE, until=24h)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

definition! {
    PruneFlags, prune,
    names: &["network prune"],
    about: "Remove unused networks",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const QUESTION: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
                        Are you sure you want to continue?";

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let filters = filters(&flags.filter)?;
    if !flags.force && !output::confirm(QUESTION)? {
        return Ok(0);
    }
    let report = app.client().await?.network_prune(&filters).await?;
    if !report.networks_deleted.is_empty() {
        let names: String = report.networks_deleted.iter().map(|name| format!("{name}\n")).collect();
        output::out(&format!("Deleted Networks:\n{names}\n"))?;
    }
    Ok(0)
}
