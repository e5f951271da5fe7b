//! `context inspect`.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::context::DEFAULT;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::template::{Template, Value};

/// What `context inspect` takes.
#[derive(Debug, Args)]
pub struct InspectFlags {
    /// 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(value_name = "CONTEXT", num_args = 0..)]
    names: Vec<String>,
}

definition! {
    InspectFlags, inspect,
    names: &["context inspect"],
    about: "Show contexts in full",
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    arity: Arity::AtLeast(0),
}

async fn inspect(app: &App, flags: InspectFlags) -> Outcome {
    let names = if flags.names.is_empty() { vec![app.current_context()?] } else { flags.names };
    let documents = names.iter().map(|name| document(app, name)).collect::<Outcome<Vec<_>>>()?;
    match flags.format.as_deref().unwrap_or_default() {
        "" => {
            let text = serde_json::to_string_pretty(&documents).map_err(|error| Failure::new(error.to_string()))?;
            // Docker indents by four.
            let text: String = text.lines().map(|line| indent_twice(line) + "\n").collect();
            output::out(&text)?;
        }
        format => {
            let template = Template::parse(if format == "json" { "{{json .}}" } else { format })?;
            for document in &documents {
                output::out(&format!("{}\n", template.execute(&Value::from_json(document))?))?;
            }
        }
    }
    Ok(0)
}

fn indent_twice(line: &str) -> String {
    let rest = line.trim_start();
    format!("{}{rest}", " ".repeat(2 * (line.len() - rest.len())))
}

fn document(app: &App, name: &str) -> Outcome<Json> {
    let context = app.context(name)?;
    let store = app.contexts();
    let files: Vec<&str> = context.tls.iter().map(|(file, _)| file.as_str()).collect();
    let mut document = context.document();
    document["TLSMaterial"] = if files.is_empty() { json!({}) } else { json!({ "docker": files }) };
    document["Storage"] = match name {
        DEFAULT => json!({"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"}),
        _ => json!({"MetadataPath": store.meta_folder(name), "TLSPath": store.tls_folder(name)}),
    };
    Ok(document)
}
