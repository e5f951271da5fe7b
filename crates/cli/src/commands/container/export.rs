//! `export`: a container's file system as an archive.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output::sink::Sink;

/// What `export` takes.
#[derive(Debug, Args)]
pub struct ExportFlags {
    /// Write to this file instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    /// Container
    #[arg(value_name = "CONTAINER", num_args = 0..)]
    container: Vec<String>,
}

definition! {
    ExportFlags, export,
    names: &["container export", "export"],
    about: "Write a container's file system as a tar archive",
    usage: "[OPTIONS] CONTAINER",
    arity: Arity::Exactly(1),
}

async fn export(app: &App, flags: ExportFlags) -> Outcome {
    let sink = Sink::open(flags.output.as_deref(), app.name)?;
    let mut bytes = app.client().await?.container_export(&flags.container[0]).await?;
    sink.fill(&mut bytes).await?;
    Ok(0)
}
