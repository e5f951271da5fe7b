//! `import`: an image from the archive of a file system.

use clap::Args;
use wharf_client::{ImportOptions, Upload};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::env;
use crate::failure::Outcome;
use crate::output::progress::Progress;
use crate::output::source;

/// What `import` takes.
#[derive(Debug, Args)]
pub struct ImportFlags {
    /// Instruction of a Dockerfile that sets a default of the image
    #[arg(short, long)]
    change: Vec<String>,
    /// Note about the image
    #[arg(short, long)]
    message: Option<String>,
    /// Platform of the image (OS/ARCH)
    #[arg(long)]
    platform: Option<String>,
    /// File, address that the engine fetches, or - for STDIN; and the image's name
    #[arg(value_name = "FILE|URL")]
    words: Vec<String>,
}

definition! {
    ImportFlags, import,
    names: &["image import", "import"],
    about: "Make an image from a tar archive of a file system",
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    arity: Arity::Between(1, 2),
}

async fn import(app: &App, flags: ImportFlags) -> Outcome {
    let file = &flags.words[0];
    let is_address = file.starts_with("http://") || file.starts_with("https://");
    let platform = flags.platform.clone().or_else(|| env::text(env::DOCKER_DEFAULT_PLATFORM));
    let options = ImportOptions {
        repository: flags.words.get(1).cloned().unwrap_or_default(),
        message: flags.message.clone(),
        changes: flags.change.clone(),
        platform,
        source: is_address.then(|| file.clone()),
    };
    let upload = if is_address { Upload::from_reader(tokio::io::empty()) } else { source::open(Some(file))? };
    let lines = app.client().await?.image_import(&options, upload).await?;
    Progress::on_stdout(false).follow(lines).await?;
    Ok(0)
}
