//! `network inspect`.

use clap::Args;

use crate::app::App;
use crate::commands::system::inspect::{Type, inspect_all};
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `network inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Say more about it
    #[arg(short, long)]
    verbose: bool,
    /// Networks
    #[arg(value_name = "NETWORK")]
    networks: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["network inspect"],
    about: "Show all about one or more networks",
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    arity: Arity::AtLeast(1),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    inspect_all(app, &flags.networks, flags.format.as_deref(), Some(Type::Network), false).await
}
