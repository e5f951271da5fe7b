//! `load`: images from an archive.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::progress::Progress;
use crate::output::source;

/// What `load` takes.
#[derive(Debug, Args)]
pub struct LoadFlags {
    /// Read this file instead of STDIN
    #[arg(short, long)]
    input: Option<String>,
    /// Take in only this platform (OS/ARCH) of images for several
    #[arg(long)]
    platform: Vec<String>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
}

definition! {
    LoadFlags, load,
    names: &["image load", "load"],
    about: "Read images from a tar archive",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn load(app: &App, flags: LoadFlags) -> Outcome {
    if flags.input.is_none() && crate::terminal::raw::stdin_is_terminal() {
        return Err(Failure::new("requested load from stdin, but stdin is empty").with_hint("name a file with --input"));
    }
    let upload = source::open(flags.input.as_deref())?;
    let platform = super::platform(&flags.platform)?;
    let terminal = crate::output::is_terminal();
    let lines = app.client().await?.image_load(flags.quiet || !terminal, platform.as_deref(), upload).await?;
    Progress::on_stdout(flags.quiet).follow(lines).await?;
    Ok(0)
}
