//! `builder du`: what the build cache takes.

use clap::Args;
use wharf_api::system::BuildCache;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, ellipsis, size};

/// What `builder du` takes.
#[derive(Debug, Args)]
pub struct DuFlags {
    /// Template or json
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show everything about each record
    #[arg(long)]
    verbose: bool,
}

definition! {
    DuFlags, du,
    names: &["builder du", "buildx du"],
    about: "Show what the build cache takes on the disk",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

const KIND: Kind = Kind {
    name: "buildCacheContext",
    table: "{{.ID}}\t{{.Type}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsed}}\t{{.Description}}",
    headings: &[
        ("ID", "ID"),
        ("Type", "TYPE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("LastUsed", "LAST USED"),
        ("Description", "DESCRIPTION"),
    ],
};

async fn du(app: &App, flags: DuFlags) -> Outcome {
    let format = Format::parse(flags.format.as_deref().unwrap_or_default(), &KIND)?;
    let usage = app.client().await?.disk_usage(&["build-cache"]).await?.build_cache_usage.unwrap_or_default();
    if flags.verbose {
        let texts: Vec<String> = usage.items.iter().map(verbose).collect();
        output::out(&texts.join("\n"))?;
    } else {
        let rows = usage.items.iter().map(row);
        output::out(&format.render(&KIND, rows)?)?;
    }
    if !format.is_json() && flags.format.is_none() {
        let shared: i64 = usage.items.iter().filter(|record| record.shared).map(|record| record.size).sum();
        output::out(&format!(
            "\nShared:\t\t{}\nPrivate:\t{}\nReclaimable:\t{}\nTotal:\t\t{}\n",
            size::of(shared),
            size::of(usage.total_size - shared),
            size::of(usage.reclaimable),
            size::of(usage.total_size)
        ))?;
    }
    Ok(0)
}

fn row(record: &BuildCache) -> Row {
    Row::new()
        .with("ID", record.id.chars().take(25).collect::<String>())
        .with("Type", record.kind.as_str())
        .with("Reclaimable", (!record.in_use && !record.shared).to_string())
        .with("Size", size::of(record.size))
        .with("LastUsed", record.last_used_at.clone().unwrap_or_default())
        .with("Description", ellipsis(&record.description, 60))
}

fn verbose(record: &BuildCache) -> String {
    format!(
        "ID:\t\t{}\nParents:\t{}\nCreated at:\t{}\nMutable:\t{}\nReclaimable:\t{}\nShared:\t\t{}\nSize:\t\t{}\nDescription:\t{}\nUsage count:\t{}\nLast used:\t{}\nType:\t\t{}\n",
        record.id,
        record.parents.join(","),
        record.created_at,
        record.kind == "exec.cachemount",
        !record.in_use && !record.shared,
        record.shared,
        size::of(record.size),
        record.description,
        record.usage_count,
        record.last_used_at.as_deref().unwrap_or_default(),
        record.kind,
    )
}
