//! `save`: images as an archive.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output::sink::Sink;

/// What `save` takes.
#[derive(Debug, Args)]
pub struct SaveFlags {
    /// Write to this file instead of STDOUT
    #[arg(short, long)]
    output: Option<String>,
    /// Write only this platform (OS/ARCH) of images for several
    #[arg(long)]
    platform: Vec<String>,
    /// Images
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

definition! {
    SaveFlags, save,
    names: &["image save", "save"],
    about: "Write one or more images as a tar archive",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arity: Arity::AtLeast(1),
}

async fn save(app: &App, flags: SaveFlags) -> Outcome {
    let platform = super::platform(&flags.platform)?;
    let sink = Sink::open(flags.output.as_deref(), app.name)?;
    let mut bytes = app.client().await?.image_save(&flags.images, platform.as_deref()).await?;
    sink.fill(&mut bytes).await?;
    Ok(0)
}
