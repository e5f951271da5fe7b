//! `ps`: the containers there are.

use clap::Args;
use wharf_api::container::Summary;
use wharf_client::ContainerListOptions;

use super::ports;
use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::{Failure, Outcome};
use crate::grammar::number::integer;
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, duration, ellipsis, short_id, size};
use crate::template::Value;

/// What `ps` takes.
#[derive(Debug, Args)]
pub struct LsFlags {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Which (status=exited, name=web, label=KEY=VALUE, ...)
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show the last containers that were made, whatever their state
    #[arg(short = 'n', long, value_name = "int", default_value = "-1", hide_default_value = true, value_parser = integer::<i64>)]
    last: i64,
    /// Show the container that was made last
    #[arg(short, long)]
    latest: bool,
    /// Show everything in full
    #[arg(long)]
    no_trunc: bool,
    /// Show ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Show sizes
    #[arg(short, long)]
    size: bool,
}

definition! {
    LsFlags, ls,
    names: &["container ls", "container list", "container ps", "ps"],
    about: "List containers",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "ContainerContext",
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Names", "NAMES"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Labels", "LABELS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Mounts", "MOUNTS"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
    ],
};

const SIZED: Kind = Kind {
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}",
    ..KIND
};

async fn ls(app: &App, flags: LsFlags) -> Outcome {
    let kind = if flags.size { &SIZED } else { &KIND };
    let given = app.format(flags.format.as_deref(), "psFormat")?;
    let given = given.as_str();
    let quiet = flags.quiet && (given.is_empty() || given == "table");
    let format = Format::parse(if quiet { "{{.ID}}" } else { given }, kind)
        .map_err(|error| Failure::new(format!("failed to parse template: {error}")))?;
    let limit = if flags.latest { Some(1) } else { Some(flags.last).filter(|last| *last > 0) };
    let options = ContainerListOptions {
        all: flags.all,
        limit,
        size: flags.size || (format.wants("Size") && !format.is_json()),
        filters: filters(&flags.filter)?,
    };
    let containers = app.client().await?.container_list(&options).await?;
    let rows = containers.iter().map(|container| row(container, !flags.no_trunc));
    let text =
        format.render(kind, rows).map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
    output::out(&text)?;
    Ok(0)
}

fn row(c: &Summary, short: bool) -> Row {
    let names = c.names.iter().map(|name| name.trim_start_matches('/')).filter(|name| !short || !name.contains('/'));
    let mounts = c.mounts.iter().map(|mount| {
        let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
        if short { ellipsis(name, 15) } else { name.clone() }
    });
    let local_volumes = c.mounts.iter().filter(|mount| mount.driver == "local").count();
    let command = if short { ellipsis(&c.command, 20) } else { c.command.clone() };
    let networks = c.network_settings.iter().flat_map(|settings| settings.networks.keys().cloned());
    Row::new()
        .with("ID", if short { short_id(&c.id) } else { c.id.clone() })
        .with("Names", names.collect::<Vec<_>>().join(","))
        .with("Image", image(c, short))
        .with("Command", crate::template::quote(&command))
        .with("CreatedAt", duration::go_time(c.created))
        .with("RunningFor", duration::ago(c.created))
        .with("Ports", ports::show(&c.ports))
        .with("State", c.state.as_str())
        .with("Status", c.status.as_str())
        .with("Size", size_of(c))
        .with("LocalVolumes", local_volumes.to_string())
        .with("Mounts", mounts.collect::<Vec<_>>().join(","))
        .with("Networks", networks.collect::<Vec<_>>().join(","))
        .with("Platform", Value::Nil("<nil>"))
        .with_labels(&c.labels)
}

fn image(c: &Summary, short: bool) -> String {
    match c.image.as_str() {
        "" => "<no image>".into(),
        image if short => {
            let named = image.strip_prefix("sha256:").map(short_id);
            named.unwrap_or_else(|| image.split('@').next().unwrap_or(image).to_owned())
        }
        image => image.to_owned(),
    }
}

fn size_of(c: &Summary) -> String {
    let own = size::of(c.size_rw.unwrap_or(0));
    match c.size_root_fs.filter(|size| *size > 0) {
        Some(all) => format!("{own} (virtual {})", size::of(all)),
        None => own,
    }
}
