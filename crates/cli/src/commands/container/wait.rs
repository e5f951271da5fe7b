//! `wait`: block until containers end, and print their exit codes.

use clap::Args;
use wharf_client::WaitCondition;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `wait` takes.
#[derive(Debug, Args)]
pub struct WaitFlags {
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    WaitFlags, wait,
    names: &["container wait", "wait"],
    about: "Block until containers stop, and print their exit codes",
    usage: "CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn wait(app: &App, flags: WaitFlags) -> Outcome {
    let client = app.client().await?;
    let mut code = 0;
    for container in &flags.containers {
        let ended = async {
            let response = client.container_wait(container, WaitCondition::NotRunning).await?.outcome().await?;
            match response.error.filter(|error| !error.message.is_empty()) {
                Some(error) => Err(Failure::new(error.message)),
                None => Ok(response.status_code),
            }
        };
        match ended.await {
            Ok(status) => output::out(&format!("{status}\n"))?,
            Err(failure) => {
                app.report(&failure);
                code = 1;
            }
        }
    }
    Ok(code)
}
