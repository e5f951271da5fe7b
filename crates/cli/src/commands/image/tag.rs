//! `tag`: give an image a further name.

use clap::Args;
use wharf_types::Reference;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};

/// What `tag` takes.
#[derive(Debug, Args)]
pub struct TagFlags {
    /// Image and its new name
    #[arg(value_name = "IMAGE")]
    words: Vec<String>,
}

definition! {
    TagFlags, tag,
    names: &["image tag", "tag"],
    about: "Give an image a further name",
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    arity: Arity::Exactly(2),
}

async fn tag(app: &App, flags: TagFlags) -> Outcome {
    let (source, target) = (&flags.words[0], &flags.words[1]);
    let wrong =
        |why: String| Failure::new(format!("Error parsing reference: {target:?} is not a valid repository/tag: {why}"));
    let reference: Reference = target.parse().map_err(|error: wharf_types::ReferenceError| wrong(error.to_string()))?;
    if reference.digest().is_some() {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let reference = reference.or_latest();
    let repository = reference.familiar_name();
    app.client().await?.image_tag(source, &repository, reference.tag().unwrap_or("latest")).await?;
    Ok(0)
}
