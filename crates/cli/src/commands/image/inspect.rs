//! `image inspect`.

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::commands::manifest::inspect::parse;
use crate::commands::system::inspect::{Type, inspect_for};
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output;

/// What `image inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Platform, where the image has several (OS/ARCH)
    #[arg(long)]
    platform: Option<String>,
    /// Ask the registry: the manifest's descriptor and the platforms
    #[arg(long)]
    remote: bool,
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
    if flags.remote {
        return inspect_remote(app, &flags.images).await;
    }
    let platform = flags.platform.as_deref().map(super::platform_json).transpose()?;
    inspect_for(app, &flags.images, flags.format.as_deref(), Some(Type::Image), platform.as_deref(), false).await
}

async fn inspect_remote(app: &App, images: &[String]) -> Outcome {
    let mut all = Vec::new();
    for image in images {
        let name = parse(image)?;
        let auth = app.credentials()?.get(name.domain())?;
        let found = app.client().await?.distribution_inspect(&name.to_string(), Some(&auth)).await?;
        all.push(json!({"Name": name.to_string(), "Descriptor": found.descriptor, "Platforms": found.platforms}));
    }
    output::out(&format!("{}\n", serde_json::to_string_pretty(&all).unwrap_or_default()))?;
    Ok(0)
}
