//! `version`: of the client and of the engine.

use std::rc::Rc;

use clap::Args;
use wharf_api::ApiVersion;
use wharf_api::system::Version;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::template::{Map, Template, Value};

/// What `version` takes.
#[derive(Debug, Args)]
pub struct VersionFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
}

definition! {
    VersionFlags, version,
    names: &["version"],
    about: "Show the versions of client and engine",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn version(app: &App, flags: VersionFlags) -> Outcome {
    let template = match flags.format.as_deref().unwrap_or_default() {
        "" => None,
        "json" => Some("{{json .}}"),
        text => Some(text),
    };
    let template = template.map(Template::parse).transpose();
    let template = template.map_err(|e| Failure::new(format!("template parsing error: {e}")).with_code(64))?;
    // A client has a version although there is no engine.
    let (server, failure) = match server(app).await {
        Ok(server) => (Some(server), None),
        Err(failure) => (None, Some(failure)),
    };
    match template {
        Some(template) => {
            let text = template.execute(&document(app, server.as_ref())?)?;
            output::out(&format!("{text}\n"))?;
        }
        None => output::out(&describe(app, server.as_ref()))?,
    }
    failure.map_or(Ok(0), Err)
}

async fn server(app: &App) -> Outcome<Version> {
    Ok(app.client().await?.version().await?)
}

const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

fn document(app: &App, server: Option<&Version>) -> Outcome<Value> {
    let client = serde_json::json!({
        "Version": app.version(),
        "ApiVersion": ApiVersion::MAX.to_string(),
        "DefaultAPIVersion": ApiVersion::MAX.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": ARCH,
        "BuildTime": "",
        "Context": "default",
    });
    let server = match server {
        Some(version) => {
            Value::from_json(&serde_json::to_value(version).map_err(|error| Failure::new(error.to_string()))?)
        }
        None => Value::Nil("<nil>"),
    };
    let fields = Map::from([("Client".to_owned(), Value::from_json(&client)), ("Server".to_owned(), server)]);
    Ok(Value::Map(Rc::new(fields)))
}

fn describe(app: &App, server: Option<&Version>) -> String {
    let mut text = format!(
        "Client: wharf\n Version:           {}\n API version:       {}\n OS/Arch:           linux/{ARCH}\n Context:           default\n",
        app.version(),
        ApiVersion::MAX,
    );
    let Some(server) = server else { return text };
    let name = Some(server.platform.name.as_str()).filter(|name| !name.is_empty());
    text.push_str(&format!("\nServer: {}\n Engine:\n", name.unwrap_or(app.name)));
    let built = Some(&server.build_time).filter(|time| !time.is_empty());
    let rows = [
        ("Version", server.version.clone()),
        ("API version", format!("{} (minimum version {})", server.api_version, server.min_api_version)),
        ("Git commit", server.git_commit.clone()),
        ("Built", built.cloned().unwrap_or_default()),
        ("OS/Arch", format!("{}/{}", server.os, server.arch)),
        ("Kernel", server.kernel_version.clone()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {:<17} {value}\n", format!("{name}:")));
    }
    for component in server.components.iter().filter(|component| component.name != "Engine") {
        text.push_str(&format!(" {}:\n  {:<17} {}\n", component.name, "Version:", component.version));
    }
    text
}
