//! `inspect`: all about any object, and the machinery of the other `... inspect`.

use clap::Args;
use serde::Serialize;
use wharf_client::Client;
use wharf_types::Kind;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::template::{Template, Value};

/// What `inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
    /// Work out the sizes of containers as well
    #[arg(short, long)]
    size: bool,
    /// What the names are names of: container, image, network or volume
    #[arg(long = "type")]
    kind: Option<String>,
    /// Names or ids
    #[arg(value_name = "NAME|ID")]
    objects: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["inspect"],
    about: "Show all about one or more objects",
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    arity: Arity::AtLeast(1),
}

/// What can be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

const TYPES: [(&str, Type); 4] =
    [("container", Type::Container), ("image", Type::Image), ("network", Type::Network), ("volume", Type::Volume)];

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    let kind = match flags.kind.as_deref() {
        None => None,
        Some("") => {
            return Err(Failure::new(
                "type is empty: must be one of \"container\", \"image\", \"network\" or \"volume\"",
            ));
        }
        Some(name) => match TYPES.iter().find(|(n, _)| *n == name) {
            Some((_, kind)) => Some(*kind),
            None => {
                return Err(Failure::new(format!(
                    "unknown type: {name:?}: must be one of \"container\", \"image\", \"network\" or \"volume\""
                )));
            }
        },
    };
    inspect_all(app, &flags.objects, flags.format.as_deref(), kind, flags.size).await
}

/// Prints what is known about each object; those that are not there are reported, and make it fail in the end.
pub async fn inspect_all(
    app: &App,
    objects: &[String],
    format: Option<&str>,
    kind: Option<Type>,
    size: bool,
) -> Outcome {
    inspect_for(app, objects, format, kind, None, size).await
}

/// As [`inspect_all`], of images for the `platform` that is wished, as JSON.
pub async fn inspect_for(
    app: &App,
    objects: &[String],
    format: Option<&str>,
    kind: Option<Type>,
    platform: Option<&str>,
    size: bool,
) -> Outcome {
    let format = match format.unwrap_or_default() {
        "" => None,
        "json" => Some("{{json .}}".to_owned()),
        text => Some(text.replace("\\t", "\t").replace("\\n", "\n")),
    };
    let template = format.map(|text| Template::parse(&text)).transpose();
    let template = template.map_err(|error| Failure::new(format!("template parsing error: {error}")).with_code(64))?;
    let client = app.client().await?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for object in objects {
        match lookup(client, object, kind, platform, size).await {
            Ok(document) => found.push(document),
            Err(failure) => {
                failures.push(failure);
                break;
            }
        }
    }
    match &template {
        None => print_documents(&found)?,
        Some(template) => {
            for document in &found {
                let text = template
                    .execute(&Value::from_json(&document.value))
                    .map_err(|error| Failure::new(format!("template parsing error: {error}")))?;
                output::out(&format!("{text}\n"))?;
            }
        }
    }
    for failure in &failures {
        app.report(failure);
    }
    Ok(u8::from(!failures.is_empty()))
}

/// What an engine says of an object: in its own order for people, and as a value for templates.
struct Document {
    pretty: String,
    value: serde_json::Value,
}

fn print_documents(documents: &[Document]) -> Outcome<()> {
    let indented = |document: &Document| format!("    {}", document.pretty.replace('\n', "\n    "));
    match documents {
        [] => output::out("[]\n"),
        some => output::out(&format!("[\n{}\n]\n", some.iter().map(indented).collect::<Vec<_>>().join(",\n"))),
    }
}

async fn lookup(
    client: &Client,
    name: &str,
    kind: Option<Type>,
    platform: Option<&str>,
    size: bool,
) -> Outcome<Document> {
    let types: Vec<Type> = kind.map_or_else(|| TYPES.iter().map(|(_, kind)| *kind).collect(), |kind| vec![kind]);
    for candidate in types {
        let answer = match candidate {
            Type::Container => client.container_inspect(name, size).await.map(|d| document(&d)),
            Type::Image => match platform {
                Some(platform) => client.image_inspect_for(name, platform).await.map(|d| document(&d)),
                None => client.image_inspect(name).await.map(|d| document(&d)),
            },
            Type::Network => client.network_inspect(name).await.map(|d| document(&d)),
            Type::Volume => client.volume_inspect(name).await.map(|d| document(&d)),
        };
        match answer {
            Ok(document) => return document,
            Err(error) if kind.is_none() && matches!(error.kind(), Kind::NotFound | Kind::InvalidParameter) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(format!("No such object: {name}")))
}

fn document(object: &impl Serialize) -> Outcome<Document> {
    let failed = |error: serde_json::Error| Failure::new(error.to_string());
    let mut pretty = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    object.serialize(&mut serde_json::Serializer::with_formatter(&mut pretty, indent)).map_err(failed)?;
    Ok(Document {
        pretty: String::from_utf8_lossy(&pretty).into_owned(),
        value: serde_json::to_value(object).map_err(failed)?,
    })
}
