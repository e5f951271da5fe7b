//! `network rm`.

use clap::Args;
use wharf_types::Kind;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;

/// What `network rm` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// It is fine if there is none of this name
    #[arg(short, long)]
    force: bool,
    /// Networks
    #[arg(value_name = "NETWORK")]
    networks: Vec<String>,
}

definition! {
    RmFlags, rm,
    names: &["network rm", "network remove"],
    about: "Remove one or more networks that no running container is on",
    usage: "NETWORK [NETWORK...]",
    arity: Arity::AtLeast(1),
}

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    let client = app.client().await?;
    let client = &client;
    let remove = |network: &'_ String| {
        let network = network.clone();
        async move {
            match client.network_remove(&network).await {
                Err(error) if flags.force && error.kind() == Kind::NotFound => Ok(()),
                removed => Ok(removed?),
            }
        }
    };
    each(app, &flags.networks, remove).await
}
