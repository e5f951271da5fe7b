//! `image inspect`.

use clap::Args;

use crate::app::App;
use crate::commands::system::inspect::{Type, inspect_all};
use crate::commands::{Arity, definition};
use crate::failure::Outcome;

/// What `image inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Platform, where the image has several (OS/ARCH)
    #[arg(long, hide = true)]
    platform: Option<String>,
    /// Images
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["image inspect"],
    about: "Show all about one or more images",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arity: Arity::AtLeast(1),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    inspect_all(app, &flags.images, flags.format.as_deref(), Some(Type::Image), false).await
}
