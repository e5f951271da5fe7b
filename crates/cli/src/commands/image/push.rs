//! `push`: an image into its registry.

use clap::Args;
use wharf_client::ImagePushOptions;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::Progress};

/// What `push` takes.
#[derive(Debug, Args)]
pub struct PushFlags {
    /// All tags of the repository that are here
    #[arg(short, long)]
    all_tags: bool,
    /// Accepted for scripts: images are not signed in that way any more
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Only the image for this platform (OS/ARCH[/VARIANT])
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Print the name alone
    #[arg(short, long)]
    quiet: bool,
    /// Image
    #[arg(value_name = "NAME")]
    name: String,
}

definition! {
    PushFlags, push,
    names: &["image push", "push"],
    about: "Upload an image to a registry",
    usage: "[OPTIONS] NAME[:TAG]",
    arity: Arity::Exactly(1),
}

async fn push(app: &App, flags: PushFlags) -> Outcome {
    let name = super::named(&flags.name, flags.all_tags, flags.quiet)?;
    if name.digest().is_some() {
        return Err(Failure::new("cannot push a digest reference"));
    }
    let platform = flags.platform.unwrap_or_default();
    let platform = crate::grammar::host::platform(&platform).map_err(Failure::new)?;
    let options = ImagePushOptions {
        image: format!("{}/{}", name.domain(), name.path()),
        tag: name.tag().map(str::to_owned),
        platform: Some(platform).filter(|platform| !platform.is_empty()),
        auth: app.credentials()?.get(name.domain())?,
    };
    let mut progress = Progress::on_stdout(flags.quiet);
    if flags.quiet {
        progress.results_are_said_elsewhere();
    }
    progress.follow(app.client().await?.image_push(&options).await?).await?;
    if flags.quiet {
        output::out(&format!("{name}\n"))?;
    }
    Ok(0)
}
