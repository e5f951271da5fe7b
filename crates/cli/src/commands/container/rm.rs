//! `rm`: remove containers.

use clap::Args;
use wharf_client::ContainerRemoveOptions;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::failure::{Failure, Outcome};
use wharf_types::Kind;

/// What `rm` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// Kill running containers; it is fine if there is none of this name
    #[arg(short, long)]
    force: bool,
    /// Remove the link, not the container
    #[arg(short, long)]
    link: bool,
    /// Remove the container's anonymous volumes as well
    #[arg(short, long)]
    volumes: bool,
    /// Containers
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

definition! {
    RmFlags, rm,
    names: &["container rm", "container remove", "rm"],
    about: "Remove one or more containers",
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    arity: Arity::AtLeast(1),
}

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    let client = app.client().await?;
    let options = ContainerRemoveOptions { force: flags.force, volumes: flags.volumes, link: flags.link };
    each(app, &flags.containers, |container| async move {
        let name = container.trim_matches('/');
        if name.is_empty() {
            return Err(Failure::new("container name cannot be empty"));
        }
        match client.container_remove(name, options).await {
            Err(error) if flags.force && error.kind() == Kind::NotFound => {
                app.report(&Failure::from(error));
                Err(Failure::silent(0))
            }
            other => Ok(other?),
        }
    })
    .await
}
