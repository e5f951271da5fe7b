//! `volume ls`.

use clap::Args;
use wharf_api::volume::Volume;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::{Failure, Outcome};
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, size};

/// What `volume ls` takes.
#[derive(Debug, Args)]
pub struct LsFlags {
    /// Show cluster volumes
    #[arg(long, hide = true)]
    cluster: bool,
    /// Which (dangling=true, name=data, label=KEY=VALUE, ...)
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show names alone
    #[arg(short, long)]
    quiet: bool,
}

definition! {
    LsFlags, ls,
    names: &["volume ls", "volume list"],
    about: "List volumes",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "volumeContext",
    table: "{{.Driver}}\t{{.Name}}",
    headings: &[
        ("Driver", "DRIVER"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
};

async fn ls(app: &App, flags: LsFlags) -> Outcome {
    if flags.cluster {
        return Err(Failure::new("cluster volumes need a swarm, and this engine is in none"));
    }
    let given = app.format(flags.format.as_deref(), "volumesFormat")?;
    let given = given.as_str();
    let format = Format::parse(if flags.quiet && given.is_empty() { "{{.Name}}" } else { given }, &KIND)?;
    let mut volumes = app.client().await?.volume_list(&filters(&flags.filter)?).await?.volumes;
    volumes.sort_by(|a, b| output::natural_order(&a.name, &b.name));
    output::out(&format.render(&KIND, volumes.iter().map(row))?)?;
    Ok(0)
}

fn row(volume: &Volume) -> Row {
    let usage = volume.usage_data.as_ref();
    let known = |n: Option<i64>, show: fn(i64) -> String| n.filter(|n| *n >= 0).map_or_else(|| "N/A".to_owned(), show);
    Row::new()
        .with("Driver", volume.driver.as_str())
        .with("Name", volume.name.as_str())
        .with("Scope", volume.scope.as_str())
        .with("Mountpoint", volume.mountpoint.as_str())
        .with("Links", known(usage.map(|usage| usage.ref_count), |n| n.to_string()))
        .with("Size", known(usage.map(|usage| usage.size), size::of))
        .with("Availability", "N/A")
        .with("Group", "N/A")
        .with("Status", "N/A")
        .with_labels(volume.labels.iter())
}
