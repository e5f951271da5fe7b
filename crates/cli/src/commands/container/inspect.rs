//! `container inspect`.

use clap::Args;

use crate::app::App;
use crate::commands::system::inspect::{Type, inspect_all};
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `container inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Work out the sizes as well
    #[arg(short, long)]
    size: bool,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["container inspect"],
    about: "Show all about one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    inspect_all(app, &flags.containers, flags.format.as_deref(), Some(Type::Container), flags.size).await
}
