//! `pause`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;

/// What `pause` takes.
#[derive(Debug, Args)]
pub struct PauseFlags {
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    PauseFlags, pause,
    names: &["container pause", "pause"],
    about: "Pause all processes of one or more containers",
    usage: "CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn pause(app: &App, flags: PauseFlags) -> Outcome {
    let client = app.client().await?;
    each(app, &flags.containers, |container| async move { Ok(client.container_pause(container).await?) }).await
}
