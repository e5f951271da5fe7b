//! `system man`: writes the manual pages.

use std::path::Path;

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};

/// What `system man` takes.
#[derive(Debug, Args)]
pub struct ManFlags {
    /// Folder that takes the pages
    #[arg(value_name = "DIR", num_args = 0..)]
    folder: Vec<String>,
}

definition! {
    ManFlags, man,
    names: &["system man"],
    about: "Write the manual pages into a folder",
    usage: "DIR",
    arity: Arity::Exactly(1),
}

async fn man(app: &App, flags: ManFlags) -> Outcome {
    let folder = Path::new(&flags.folder[0]);
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(crate::tree::whole(app.name), folder).map_err(|error| {
        Failure::new(format!("cannot write to {}: {}", folder.display(), crate::output::os_error(&error)))
    })?;
    Ok(0)
}
