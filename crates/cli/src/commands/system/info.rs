//! `info`: the engine and its host.

use std::rc::Rc;

use clap::Args;
use wharf_api::system::Info;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::{self, size};
use crate::template::{Map, Template, Value};

/// What `info` takes.
#[derive(Debug, Args)]
pub struct InfoFlags {
    /// Go template, or 'json'
    #[arg(short, long)]
    format: Option<String>,
}

definition! {
    InfoFlags, info,
    names: &["system info", "info"],
    about: "Show the engine's state and its host",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn info(app: &App, flags: InfoFlags) -> Outcome {
    let template = match flags.format.as_deref().unwrap_or_default() {
        "" => None,
        "json" => Some("{{json .}}"),
        text => Some(text),
    };
    let template = template.map(Template::parse).transpose();
    let template = template.map_err(|e| Failure::new(format!("template parsing error: {e}")).with_code(64))?;
    let info = app.client().await?.info().await?;
    match template {
        Some(template) => output::out(&format!("{}\n", template.execute(&document(&info)?)?))?,
        None => {
            output::out(&describe(&info))?;
            for warning in &info.warnings {
                output::err(&format!("{warning}\n"));
            }
        }
    }
    Ok(0)
}

/// What the engine says, with the client's part beside it.
fn document(info: &Info) -> Outcome<Value> {
    let json = serde_json::to_value(info).map_err(|error| Failure::new(error.to_string()))?;
    let Value::Map(fields) = Value::from_json(&json) else {
        return Err(Failure::new("the engine said nothing of itself"));
    };
    let mut fields: Map = fields.as_ref().clone();
    let client = serde_json::json!({
        "Debug": false, "Version": env!("CARGO_PKG_VERSION"), "Context": "default", "Plugins": [], "Warnings": null,
    });
    fields.insert("ClientInfo".into(), Value::from_json(&client));
    Ok(Value::Map(Rc::new(fields)))
}

fn describe(info: &Info) -> String {
    let mut text =
        format!("Client: wharf\n Version:    {}\n Context:    default\n\nServer:\n", env!("CARGO_PKG_VERSION"));
    let mut row = |indent: usize, name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{:indent$}{name}: {value}\n", ""));
        }
    };
    row(1, "Containers", &info.containers.to_string());
    row(2, "Running", &info.containers_running.to_string());
    row(2, "Paused", &info.containers_paused.to_string());
    row(2, "Stopped", &info.containers_stopped.to_string());
    row(1, "Images", &info.images.to_string());
    row(1, "Server Version", &info.server_version);
    row(1, "Storage Driver", &info.driver);
    for [name, value] in &info.driver_status {
        row(2, name, value);
    }
    row(1, "Logging Driver", &info.logging_driver);
    row(1, "Cgroup Driver", &info.cgroup_driver);
    row(1, "Cgroup Version", &info.cgroup_version);
    let plugins = &info.plugins;
    text.push_str(" Plugins:\n");
    for (name, list) in [("Volume", &plugins.volume), ("Network", &plugins.network), ("Log", &plugins.log)] {
        text.push_str(&format!("  {name}: {}\n", list.join(" ")));
    }
    let swarm = if info.swarm.local_node_state.is_empty() { "inactive" } else { &info.swarm.local_node_state };
    text.push_str(&format!(" Swarm: {swarm}\n"));
    let runtimes: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
    text.push_str(&format!(" Runtimes: {}\n Default Runtime: {}\n", runtimes.join(" "), info.default_runtime));
    if !info.security_options.is_empty() {
        text.push_str(" Security Options:\n");
        for option in &info.security_options {
            text.push_str(&security(option));
        }
    }
    text.push_str(&host(info));
    text
}

/// `name=seccomp,profile=builtin` as a line and the lines below it.
fn security(option: &str) -> String {
    let mut lines = String::new();
    for part in option.split(',') {
        match part.split_once('=') {
            Some(("name", name)) => lines.push_str(&format!("  {name}\n")),
            Some((key, value)) => lines.push_str(&format!("   {}: {value}\n", capital(key))),
            None => lines.push_str(&format!("  {part}\n")),
        }
    }
    lines
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn host(info: &Info) -> String {
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let memory = size::binary(info.mem_total as f64);
    let rows = [
        ("Kernel Version", info.kernel_version.clone()),
        ("Operating System", info.operating_system.clone()),
        ("OSType", info.os_type.clone()),
        ("Architecture", info.architecture.clone()),
        ("CPUs", info.ncpu.to_string()),
        ("Total Memory", memory),
        ("Name", info.name.clone()),
        ("ID", info.id.clone()),
        ("Docker Root Dir", info.docker_root_dir.clone()),
        ("Debug Mode", info.debug.to_string()),
        ("HTTP Proxy", info.http_proxy.clone()),
        ("HTTPS Proxy", info.https_proxy.clone()),
        ("No Proxy", info.no_proxy.clone()),
        ("Experimental", info.experimental_build.to_string()),
        ("Live Restore Enabled", info.live_restore_enabled.to_string()),
    ];
    rows.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!(" {name}: {value}\n")).collect()
}
