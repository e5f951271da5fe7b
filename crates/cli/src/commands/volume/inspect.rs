//! `volume inspect`.

use clap::Args;

use crate::app::App;
use crate::commands::system::inspect::{Type, inspect_all};
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `volume inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Volumes
    #[arg(value_name = "VOLUME")]
    volumes: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["volume inspect"],
    about: "Show all about one or more volumes",
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    arity: Arity::AtLeast(1),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    inspect_all(app, &flags.volumes, flags.format.as_deref(), Some(Type::Volume), false).await
}
