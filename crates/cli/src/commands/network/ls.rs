//! `network ls`.

use clap::Args;
use wharf_api::network::Network;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::Outcome;
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, short_id};

/// What `network ls` takes.
#[derive(Debug, Args)]
pub struct LsFlags {
    /// Which (driver=bridge, name=web, label=KEY=VALUE, ...)
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show everything in full
    #[arg(long)]
    no_trunc: bool,
    /// Show ids alone
    #[arg(short, long)]
    quiet: bool,
}

definition! {
    LsFlags, ls,
    names: &["network ls", "network list"],
    about: "List networks",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "networkContext",
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    headings: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
};

async fn ls(app: &App, flags: LsFlags) -> Outcome {
    let given = app.format(flags.format.as_deref(), "networksFormat")?;
    let given = given.as_str();
    let format = Format::parse(if flags.quiet && given.is_empty() { "{{.ID}}" } else { given }, &KIND)?;
    let mut networks = app.client().await?.network_list(&filters(&flags.filter)?).await?;
    networks.sort_by(|a, b| output::natural_order(&a.name, &b.name));
    let rows = networks.iter().map(|network| row(network, !flags.no_trunc));
    output::out(&format.render(&KIND, rows)?)?;
    Ok(0)
}

fn row(network: &Network, short: bool) -> Row {
    Row::new()
        .with("ID", if short { short_id(&network.id) } else { network.id.clone() })
        .with("Name", network.name.as_str())
        .with("Driver", network.driver.as_str())
        .with("Scope", network.scope.as_str())
        .with("IPv4", network.enable_ipv4.to_string())
        .with("IPv6", network.enable_ipv6.to_string())
        .with("Internal", network.internal.to_string())
        .with("CreatedAt", network.created.replacen('T', " ", 1).replace('Z', " +0000 UTC"))
        .with_labels(network.labels.iter())
}
