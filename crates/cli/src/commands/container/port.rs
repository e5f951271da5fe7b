//! `port`: where a container's ports are published.

use clap::Args;
use wharf_api::port::{Port, PortMap};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `port` takes.
#[derive(Debug, Args)]
pub struct PortFlags {
    /// Container and port
    #[arg(value_name = "CONTAINER")]
    words: Vec<String>,
}

definition! {
    PortFlags, port,
    names: &["container port", "port"],
    about: "Show where a container's ports are published",
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    arity: Arity::Between(1, 2),
}

async fn port(app: &App, flags: PortFlags) -> Outcome {
    let inspect = app.client().await?.container_inspect(&flags.words[0], false).await?;
    let ports = inspect.network_settings.map(|settings| settings.ports).unwrap_or_default();
    let lines = match flags.words.get(1) {
        Some(wanted) => one(&ports, wanted, &flags.words[0])?,
        None => all(&ports),
    };
    output::out(&lines)?;
    Ok(0)
}

fn one(ports: &PortMap, wanted: &str, container: &str) -> Outcome<String> {
    let port: Port = wanted.parse().map_err(|error: wharf_api::port::PortError| Failure::new(error.to_string()))?;
    let bindings = ports.get(&port).filter(|bindings| !bindings.is_empty());
    let bindings =
        bindings.ok_or_else(|| Failure::new(format!("no public port '{wanted}' published for {container}")))?;
    Ok(bindings.iter().map(|b| format!("{}\n", address(&b.host_ip, &b.host_port))).collect())
}

fn all(ports: &PortMap) -> String {
    let mut lines = String::new();
    for (port, bindings) in ports {
        for binding in bindings {
            lines.push_str(&format!("{port} -> {}\n", address(&binding.host_ip, &binding.host_port)));
        }
    }
    lines
}

/// IPv6 addresses come in brackets.
pub fn address(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
