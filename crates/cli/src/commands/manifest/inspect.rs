//! `manifest inspect`: what a name means in its registry.

use clap::Args;
use serde_json::{Value, json};
use wharf_client::RemoteManifest;
use wharf_types::{Reference, ReferenceError};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `manifest inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Accepted for scripts: the engine knows which registries may be spoken to in plain HTTP
    #[arg(long)]
    insecure: bool,
    /// Show the members of an index as well
    #[arg(short, long)]
    verbose: bool,
    /// Image in its registry
    #[arg(value_name = "MANIFEST")]
    name: String,
}

definition! {
    InspectFlags, inspect,
    names: &["manifest inspect"],
    about: "Show a manifest or index as its registry has it",
    usage: "[OPTIONS] MANIFEST",
    arity: Arity::Exactly(1),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    let name = parse(&flags.name)?;
    let manifest = get(app, &name).await?;
    if !flags.verbose {
        output::out(&pretty(&manifest)?)?;
        return Ok(0);
    }
    let document = json_of(&manifest)?;
    let mut shown = Vec::new();
    for member in document["manifests"].as_array().into_iter().flatten() {
        let digest = member["digest"].as_str().and_then(|digest| digest.parse().ok());
        let Some(digest) = digest else { continue };
        let below = get(app, &name.with_digest(digest)).await?;
        shown.push(described(&name.with_digest(digest), &below, Some(&member["platform"]))?);
    }
    let value = match document.get("manifests") {
        Some(_) => Value::Array(shown),
        None => described(&name, &manifest, None)?,
    };
    output::out(&format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default()))?;
    Ok(0)
}

fn described(name: &Reference, manifest: &RemoteManifest, platform: Option<&Value>) -> Outcome<Value> {
    let mut descriptor = json!({
        "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
    });
    if let Some(platform) = platform.filter(|platform| !platform.is_null()) {
        descriptor["platform"] = platform.clone();
    }
    let key = if manifest.media_type.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
    Ok(json!({"Ref": name.to_string(), "Descriptor": descriptor, key: json_of(manifest)?}))
}

/// Reads a name; `latest` where it has no tag.
pub fn parse(name: &str) -> Outcome<Reference> {
    let parsed = name.parse().map_err(|error: ReferenceError| Failure::new(error.to_string()))?;
    Ok(Reference::or_latest(parsed))
}

/// Asks the registry, with the person's credentials.
pub async fn get(app: &App, name: &Reference) -> Outcome<RemoteManifest> {
    let auth = app.credentials()?.get(name.domain())?;
    Ok(app.client().await?.remote_manifest(&name.to_string(), Some(&auth)).await?)
}

/// A manifest as JSON.
pub fn json_of(manifest: &RemoteManifest) -> Outcome<Value> {
    serde_json::from_slice(&manifest.bytes).map_err(|error| Failure::new(format!("the manifest is no JSON: {error}")))
}

/// A manifest on lines of its own, with its members in the registry's order.
fn pretty(manifest: &RemoteManifest) -> Outcome<String> {
    let text = std::str::from_utf8(&manifest.bytes).map_err(|_| Failure::new("the manifest is no text"))?;
    Ok(format!("{}\n", indent(text)))
}

/// Indents JSON as it stands: parsing would sort its members.
fn indent(text: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        let new_line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("   ", depth));
        };
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                quoted = true;
                out.push(c);
            }
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_stays_the_same() {
        let text = r#"{"b":[1,{"a":"x, {\"}"}],"a":{},"c":[ ]}"#;
        let shown = indent(text);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        assert!(shown.starts_with("{\n   \"b\": [\n      1,\n"), "{shown}");
        assert!(shown.contains("\"a\": {},\n   \"c\": []\n}"), "{shown}");
    }
}
