//! `diff`: what a container changed in its file system.

use clap::Args;
use wharf_api::container::ChangeKind;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output;

/// What `diff` takes.
#[derive(Debug, Args)]
pub struct DiffFlags {
    /// Container
    #[arg(value_name = "CONTAINER", num_args = 0..)]
    container: Vec<String>,
}

definition! {
    DiffFlags, diff,
    names: &["container diff", "diff"],
    about: "Show what a container changed in its file system",
    usage: "CONTAINER",
    arity: Arity::Exactly(1),
}

async fn diff(app: &App, flags: DiffFlags) -> Outcome {
    let changes = app.client().await?.container_changes(&flags.container[0]).await?;
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    let lines: String = changes.iter().map(|change| format!("{} {}\n", letter(change.kind), change.path)).collect();
    output::out(&lines)?;
    Ok(0)
}
