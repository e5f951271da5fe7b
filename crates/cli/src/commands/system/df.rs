//! `system df`: what takes space on the disk.

use clap::Args;
use wharf_api::system::{DiskUsage, Usage};

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, duration, ellipsis, short_id, size};

/// What `system df` takes.
#[derive(Debug, Args)]
pub struct DfFlags {
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show each thing
    #[arg(short, long)]
    verbose: bool,
}

definition! {
    DfFlags, df,
    names: &["system df"],
    about: "Show what takes space on the disk",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "diskUsageContext",
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

async fn df(app: &App, flags: DfFlags) -> Outcome {
    let given = flags.format.as_deref().unwrap_or_default();
    if flags.verbose && !given.is_empty() {
        return Err(Failure::new("--format and --verbose do not go together yet"));
    }
    let format = Format::parse(given, &KIND)?;
    let usage = app.client().await?.disk_usage(&[]).await?;
    if flags.verbose {
        output::out(&verbose(&usage)?)?;
        return Ok(0);
    }
    let mut rows = vec![
        row("Images", usage.image_usage.as_ref()),
        row("Containers", usage.container_usage.as_ref()),
        row("Local Volumes", usage.volume_usage.as_ref()),
        row("Build Cache", usage.build_cache_usage.as_ref()),
    ];
    // Under Docker's name the table is Docker's.
    if let Some(store) = usage.store_usage.as_ref().filter(|_| app.name != "docker") {
        rows.push(part("Images: layers", store.layers, store.layers_size));
        rows.push(part("Images: blobs", store.blobs, (store.blobs_size - store.partials_size).max(0)));
        if store.partials > 0 {
            rows.push(part("Images: unfinished", store.partials, store.partials_size));
        }
    }
    output::out(&format.render(&KIND, rows)?)?;
    Ok(0)
}

fn row<T>(name: &str, usage: Option<&Usage<T>>) -> Row {
    let (total, active, size, reclaimable) =
        usage.map_or((0, 0, 0, 0), |u| (u.total_count, u.active_count, u.total_size, u.reclaimable));
    let share =
        if size > 0 && name != "Build Cache" { format!(" ({}%)", reclaimable * 100 / size) } else { String::new() };
    Row::new()
        .with("Type", name)
        .with("TotalCount", total.to_string())
        .with("Active", active.to_string())
        .with("Size", size::of(size))
        .with("Reclaimable", format!("{}{share}", size::of(reclaimable)))
}

/// A part of what stands above it.
fn part(name: &str, count: i64, bytes: i64) -> Row {
    Row::new()
        .with("Type", name)
        .with("TotalCount", count.to_string())
        .with("Active", "")
        .with("Size", size::of(bytes))
        .with("Reclaimable", "")
}

fn verbose(usage: &DiskUsage) -> Outcome<String> {
    const IMAGES: Kind = Kind {
        name: "imageContext",
        table: "{{.Name}}\t{{.ID}}\t{{.Created}}\t{{.Size}}\t{{.Shared}}\t{{.Containers}}",
        headings: &[
            ("Name", "REPOSITORY:TAG"),
            ("ID", "IMAGE ID"),
            ("Created", "CREATED"),
            ("Size", "SIZE"),
            ("Shared", "SHARED SIZE"),
            ("Containers", "CONTAINERS"),
        ],
    };
    const CONTAINERS: Kind = Kind {
        name: "containerContext",
        table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.Size}}\t{{.Created}}\t{{.Status}}\t{{.Names}}",
        headings: &[
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("Size", "SIZE"),
            ("Created", "CREATED"),
            ("Status", "STATUS"),
            ("Names", "NAMES"),
        ],
    };
    const VOLUMES: Kind = Kind {
        name: "volumeContext",
        table: "{{.Name}}\t{{.Links}}\t{{.Size}}",
        headings: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
    };
    let images = usage.image_usage.iter().flat_map(|u| &u.items).map(|image| {
        Row::new()
            .with("Name", image.repo_tags.first().map_or("<none>:<none>", String::as_str))
            .with("ID", short_id(&image.id))
            .with("Created", duration::ago(image.created))
            .with("Size", size::of(image.size))
            .with("Shared", size::of(image.shared_size.max(0)))
            .with("Containers", image.containers.max(0).to_string())
    });
    let containers = usage.container_usage.iter().flat_map(|u| &u.items).map(|container| {
        Row::new()
            .with("ID", short_id(&container.id))
            .with("Image", container.image.as_str())
            .with("Command", crate::template::quote(&ellipsis(&container.command, 20)))
            .with("Size", size::of(container.size_rw.unwrap_or(0)))
            .with("Created", duration::ago(container.created))
            .with("Status", container.status.as_str())
            .with("Names", container.names.iter().map(|n| n.trim_start_matches('/')).collect::<Vec<_>>().join(","))
    });
    let volumes = usage.volume_usage.iter().flat_map(|u| &u.items).map(|volume| {
        let known = volume.usage_data.as_ref();
        Row::new()
            .with("Name", volume.name.as_str())
            .with("Links", known.map_or("N/A".to_owned(), |u| u.ref_count.to_string()))
            .with("Size", known.map_or("N/A".to_owned(), |u| size::of(u.size.max(0))))
    });
    let table = |kind: &Kind, rows: Vec<Row>| Format::parse("table", kind).and_then(|format| format.render(kind, rows));
    let store = usage.store_usage.as_ref().map_or_else(String::new, |store| {
        let blobs = size::of((store.blobs_size - store.partials_size).max(0));
        let layers = size::of(store.layers_size);
        let unfinished = match store.partials {
            0 => String::new(),
            count => format!(", {} in {count} unfinished downloads", size::of(store.partials_size)),
        };
        format!("\n{} in {} unpacked layers, {blobs} in {} blobs{unfinished}\n", layers, store.layers, store.blobs)
    });
    Ok(format!(
        "Images space usage:\n\n{}{store}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
        table(&IMAGES, images.collect())?,
        table(&CONTAINERS, containers.collect())?,
        table(&VOLUMES, volumes.collect())?,
    ))
}
