//! `unpause`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;

/// What `unpause` takes.
#[derive(Debug, Args)]
pub struct UnpauseFlags {
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    UnpauseFlags, unpause,
    names: &["container unpause", "unpause"],
    about: "Let paused containers go on",
    usage: "CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn unpause(app: &App, flags: UnpauseFlags) -> Outcome {
    let client = app.client().await?;
    each(app, &flags.containers, |container| async move { Ok(client.container_unpause(container).await?) }).await
}
