//! `rename`: give a container another name.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};

/// What `rename` takes.
#[derive(Debug, Args)]
pub struct RenameFlags {
    /// Container and its new name
    #[arg(value_name = "CONTAINER")]
    words: Vec<String>,
}

definition! {
    RenameFlags, rename,
    names: &["container rename", "rename"],
    about: "Rename a container",
    usage: "CONTAINER NEW_NAME",
    arity: Arity::Exactly(2),
}

async fn rename(app: &App, flags: RenameFlags) -> Outcome {
    let (old, new) = (flags.words[0].trim(), flags.words[1].trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("neither old nor new names may be empty"));
    }
    app.client().await?.container_rename(old, new).await?;
    Ok(0)
}
