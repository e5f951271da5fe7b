//! `rmi`: remove images.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;
use wharf_types::Kind;

/// What `rmi` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// Remove it although stopped containers use it
    #[arg(short, long)]
    force: bool,
    /// Keep parents that nothing else needs
    #[arg(long)]
    no_prune: bool,
    /// Remove only this platform (OS/ARCH) of images for several
    #[arg(long, value_delimiter = ',')]
    platform: Vec<String>,
    /// Images
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

definition! {
    RmFlags, rm,
    names: &["image rm", "image remove", "rmi"],
    about: "Remove one or more images",
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    arity: Arity::AtLeast(1),
}

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    let client = app.client().await?;
    let mut code = 0;
    let platforms: Vec<String> =
        flags.platform.iter().map(|text| super::platform_json(text)).collect::<Outcome<_>>()?;
    for image in &flags.images {
        let removed = match platforms.is_empty() {
            true => client.image_remove(image, flags.force, flags.no_prune).await,
            false => client.image_remove_platforms(image, flags.force, flags.no_prune, &platforms).await,
        };
        match removed {
            Ok(items) => {
                for item in items {
                    let line = match (item.deleted, item.untagged) {
                        (Some(id), _) => format!("Deleted: {id}\n"),
                        (None, Some(name)) => format!("Untagged: {name}\n"),
                        (None, None) => continue,
                    };
                    output::out(&line)?;
                }
            }
            Err(error) => {
                let missing = error.kind() == Kind::NotFound;
                app.report(&Failure::from(error));
                if !(missing && flags.force) {
                    code = 1;
                }
            }
        }
    }
    Ok(code)
}
