//! `commit`: an image of what a container has become.

use clap::Args;
use wharf_api::container::Config;
use wharf_client::CommitOptions;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `commit` takes.
#[derive(Debug, Args)]
pub struct CommitFlags {
    /// Who made it
    #[arg(short, long)]
    author: Option<String>,
    /// Dockerfile instruction to apply (repeatable)
    #[arg(short, long)]
    change: Vec<String>,
    /// A remark
    #[arg(short, long)]
    message: Option<String>,
    /// Do not freeze the container meanwhile
    #[arg(long)]
    no_pause: bool,
    /// Freeze the container meanwhile
    #[arg(short, long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true)]
    pause: bool,
    #[arg(value_name = "CONTAINER", num_args = 0..)]
    words: Vec<String>,
}

definition! {
    CommitFlags, commit,
    names: &["container commit", "commit"],
    about: "Make an image of what a container has become",
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    arity: Arity::Between(1, 2),
}

async fn commit(app: &App, flags: CommitFlags) -> Outcome {
    let name = flags.words.get(1).map(String::as_str).unwrap_or_default();
    let (repository, tag) = split(name)?;
    let options = CommitOptions {
        container: flags.words[0].clone(),
        repository,
        tag,
        comment: flags.message.unwrap_or_default(),
        author: flags.author.unwrap_or_default(),
        no_pause: flags.no_pause || !flags.pause,
        changes: flags.change,
    };
    let made = app.client().await?.image_commit(&options, &Config::default()).await?;
    output::out(&format!("{}\n", made.id))?;
    Ok(0)
}

/// Repository and tag; nothing for an image without a name.
fn split(name: &str) -> Outcome<(String, String)> {
    if name.is_empty() {
        return Ok(Default::default());
    }
    let reference: wharf_types::Reference =
        name.parse().map_err(|_| Failure::new(format!("invalid reference format: {name}")))?;
    if reference.digest().is_some() {
        return Err(Failure::new("cannot commit to digest reference"));
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => Ok((repository.to_owned(), tag.to_owned())),
        _ => Ok((name.to_owned(), String::new())),
    }
}
