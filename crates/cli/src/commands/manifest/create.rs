//! `image index`: an index of images that are in a registry, put there under a name.

use clap::Args;
use serde_json::{Value, json};
use wharf_client::RemoteManifest;
use wharf_types::Reference;

use super::inspect::{get, json_of, parse};
use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What `image index` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Name of the index, in the repository of its members
    #[arg(short, long = "tag", value_name = "NAME")]
    tag: String,
    /// Print the index and put it nowhere
    #[arg(long)]
    dry_run: bool,
    /// Images, or further indexes, in the same repository
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
}

definition! {
    CreateFlags, create,
    names: &["image index"],
    about: "Make an index of several platforms from images in a registry",
    usage: "--tag NAME SOURCE [SOURCE...]",
    arity: Arity::AtLeast(1),
}

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let target = parse(&flags.tag)?;
    let mut members: Vec<Value> = Vec::new();
    for source in &flags.sources {
        let source = parse(source)?;
        if (source.domain(), source.path()) != (target.domain(), target.path()) {
            return Err(Failure::new(format!(
                "{} is in another repository than {}",
                source.familiar(),
                target.familiar()
            ))
            .with_hint("push it to the repository of the index first"));
        }
        for member in members_of(app, &source).await? {
            if members.iter().all(|known| known["digest"] != member["digest"]) {
                members.push(member);
            }
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": members});
    if flags.dry_run {
        output::out(&format!("{}\n", serde_json::to_string_pretty(&index).unwrap_or_default()))?;
        return Ok(0);
    }
    let auth = app.credentials()?.get(target.domain())?;
    let client = app.client().await?;
    let bytes = index.to_string().into_bytes().into();
    let digest = client.put_remote_manifest(&target.to_string(), INDEX, bytes, Some(&auth)).await?;
    output::out(&format!("{digest}\n"))?;
    Ok(0)
}

/// The descriptors that a source adds: its own, or those of its members.
pub async fn members_of(app: &App, source: &Reference) -> Outcome<Vec<Value>> {
    let manifest: RemoteManifest = get(app, source).await?;
    let document = json_of(&manifest)?;
    if let Some(members) = document["manifests"].as_array() {
        return Ok(members.clone());
    }
    let auth = app.credentials()?.get(source.domain())?;
    let known = app.client().await?.distribution_inspect(&source.to_string(), Some(&auth)).await?;
    let mut member = json!({
        "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
    });
    if let Some(platform) = known.platforms.first() {
        member["platform"] = serde_json::to_value(platform).unwrap_or_default();
    }
    Ok(vec![member])
}
