//! `network disconnect`.

use clap::Args;
use wharf_api::network::DisconnectRequest;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `network disconnect` takes.
#[derive(Debug, Args)]
pub struct DisconnectFlags {
    /// It is fine if the container is no more
    #[arg(short, long)]
    force: bool,
    /// Network and container
    #[arg(value_name = "NETWORK CONTAINER")]
    words: Vec<String>,
}

definition! {
    DisconnectFlags, disconnect,
    names: &["network disconnect"],
    about: "Disconnect a container from a network",
    usage: "[OPTIONS] NETWORK CONTAINER",
    arity: Arity::Exactly(2),
}

async fn disconnect(app: &App, flags: DisconnectFlags) -> Outcome {
    let request = DisconnectRequest { container: flags.words[1].clone(), force: flags.force };
    app.client().await?.network_disconnect(&flags.words[0], &request).await?;
    Ok(0)
}
