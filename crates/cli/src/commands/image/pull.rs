//! `pull`: an image from its registry.

use clap::Args;
use wharf_client::ImagePullOptions;
use wharf_types::Reference;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::output::{self, progress::Progress};

/// What `pull` takes.
#[derive(Debug, Args)]
pub struct PullFlags {
    /// All tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Accepted for scripts: images are not signed in that way any more
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Platform, where the image has several (OS/ARCH[/VARIANT])
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
    PullFlags, pull,
    names: &["image pull", "pull"],
    about: "Download an image from a registry",
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    arity: Arity::Exactly(1),
}

async fn pull(app: &App, flags: PullFlags) -> Outcome {
    let name = super::named(&flags.name, flags.all_tags, flags.quiet)?;
    let platform = flags.platform.or_else(|| env::text(env::DOCKER_DEFAULT_PLATFORM)).unwrap_or_default();
    let platform = crate::grammar::host::platform(&platform).map_err(Failure::new)?;
    let mut progress = Progress::on_stdout(flags.quiet);
    progress.results_are_said_elsewhere();
    fetch(app, &name, &platform, &mut progress).await?;
    output::out(&format!("{name}\n"))?;
    Ok(0)
}

/// Has the engine pull, with the person's credentials.
pub async fn fetch(app: &App, name: &Reference, platform: &str, progress: &mut Progress) -> Outcome<()> {
    let options = ImagePullOptions {
        image: format!("{}/{}", name.domain(), name.path()),
        tag: name.digest().map(|digest| digest.to_string()).or_else(|| name.tag().map(str::to_owned)),
        platform: Some(platform.to_owned()).filter(|platform| !platform.is_empty()),
        auth: Some(app.credentials()?.get(name.domain())?),
    };
    progress.follow(app.client().await?.image_pull(&options).await?).await
}
