//! `kill`: send a signal.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;

/// What `kill` takes.
#[derive(Debug, Args)]
pub struct KillFlags {
    /// Signal to send instead of KILL
    #[arg(short, long)]
    signal: Option<String>,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    KillFlags, kill,
    names: &["container kill", "kill"],
    about: "Kill one or more running containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn kill(app: &App, flags: KillFlags) -> Outcome {
    let (client, signal) = (app.client().await?, flags.signal.as_deref());
    each(app, &flags.containers, |container| async move { Ok(client.container_kill(container, signal).await?) }).await
}
