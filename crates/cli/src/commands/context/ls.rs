//! `context ls`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::context::{Context, DEFAULT};
use crate::failure::Outcome;
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, ellipsis};

/// What `context ls` takes.
#[derive(Debug, Args)]
pub struct LsFlags {
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Names only
    #[arg(short, long)]
    quiet: bool,
}

definition! {
    LsFlags, ls,
    names: &["context ls", "context list"],
    about: "List contexts",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "clientContextContext",
    table: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    headings: &[
        ("Name", "NAME"),
        ("Current", ""),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ],
};

async fn ls(app: &App, flags: LsFlags) -> Outcome {
    let current = app.current_context()?;
    let mut contexts = app.contexts().list()?;
    contexts.push(app.context(DEFAULT)?);
    contexts.sort_by(|a, b| output::natural_order(&a.name, &b.name));
    let given = flags.format.as_deref().unwrap_or_default();
    let format = Format::parse(if flags.quiet && given.is_empty() { "{{.Name}}" } else { given }, &KIND)?;
    let long = format.is_json();
    output::out(&format.render(&KIND, contexts.iter().map(|context| row(context, &current, long)))?)?;
    Ok(0)
}

fn row(context: &Context, current: &str, long: bool) -> Row {
    let description = if long { context.description.clone() } else { ellipsis(&context.description, 45) };
    Row::new()
        .with("Name", context.name.as_str())
        .with("Current", context.name == current)
        .with("Description", description)
        .with("DockerEndpoint", context.host.as_str())
        .with("Error", "")
        .with("ContextType", "")
}
