//! `restart`: stop containers and start them again.

use clap::Args;
use wharf_client::StopOptions;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::Outcome;
use crate::grammar::number::integer;

/// What `restart` takes.
#[derive(Debug, Args)]
pub struct RestartFlags {
    /// Signal that asks the container to end
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds until it is killed
    #[arg(short, long, alias = "time", value_name = "int", value_parser = integer::<i64>)]
    timeout: Option<i64>,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    RestartFlags, restart,
    names: &["container restart", "restart"],
    about: "Restart one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn restart(app: &App, flags: RestartFlags) -> Outcome {
    let options = StopOptions { signal: flags.signal, timeout: flags.timeout };
    let (client, options) = (app.client().await?, &options);
    each(app, &flags.containers, |container| async move { Ok(client.container_restart(container, options).await?) })
        .await
}
