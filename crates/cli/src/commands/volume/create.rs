//! `volume create`.

use clap::Args;
use wharf_api::volume::CreateRequest;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::grammar::env_file;
use crate::output;

/// What `volume create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Driver of the volume
    #[arg(short, long, default_value = "local", hide_default_value = true)]
    driver: String,
    /// Give the volume a label (KEY=VALUE)
    #[arg(long, value_parser = env_file::label)]
    label: Vec<String>,
    /// Name of the volume
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Option of the driver (NAME=VALUE)
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Name of the volume
    #[arg(value_name = "VOLUME", num_args = 0..)]
    volume: Vec<String>,
}

definition! {
    CreateFlags, create,
    names: &["volume create"],
    about: "Create a volume",
    usage: "[OPTIONS] [VOLUME]",
    arity: Arity::AtMost(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let name = match (flags.name, flags.volume.first()) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
        (Some(name), None) => name,
        (None, name) => name.cloned().unwrap_or_default(),
    };
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let request = CreateRequest {
        name,
        driver: flags.driver,
        driver_opts: flags.opt.iter().map(pair).collect(),
        labels: flags.label.iter().map(pair).collect(),
    };
    let volume = app.client().await?.volume_create(&request).await?;
    output::out(&format!("{}\n", volume.name))?;
    Ok(0)
}
