//! `volume rm`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;

/// What `volume rm` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// It is fine if there is none of this name
    #[arg(short, long)]
    force: bool,
    /// Volumes
    #[arg(value_name = "VOLUME")]
    volumes: Vec<String>,
}

definition! {
    RmFlags, rm,
    names: &["volume rm", "volume remove"],
    about: "Remove one or more volumes that no container uses",
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    arity: Arity::AtLeast(1),
}

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    let client = app.client().await?;
    each(app, &flags.volumes, |volume| async move { Ok(client.volume_remove(volume, flags.force).await?) }).await
}
