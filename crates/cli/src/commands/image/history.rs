//! `history`: the steps that made an image.

use clap::Args;
use wharf_api::image::HistoryItem;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::grammar::number::boolean;
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, duration, ellipsis, short_id, size};

/// What `history` takes.
#[derive(Debug, Args)]
pub struct HistoryFlags {
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// Show sizes and times for people
    #[arg(short = 'H', long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = boolean)]
    human: bool,
    /// Show everything in full
    #[arg(long)]
    no_trunc: bool,
    /// Platform, where the image has several (OS/ARCH)
    #[arg(long)]
    platform: Option<String>,
    /// Show ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Image
    #[arg(value_name = "IMAGE", num_args = 0..)]
    image: Vec<String>,
}

definition! {
    HistoryFlags, history,
    names: &["image history", "history"],
    about: "Show the steps that made an image",
    usage: "[OPTIONS] IMAGE",
    arity: Arity::Exactly(1),
}

const KIND: Kind = Kind {
    name: "historyContext",
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    headings: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
};

const EXACT: Kind = Kind { table: "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}", ..KIND };

async fn history(app: &App, flags: HistoryFlags) -> Outcome {
    let kind = if flags.human { &KIND } else { &EXACT };
    let given = flags.format.as_deref().unwrap_or_default();
    let quiet = flags.quiet && given.is_empty();
    let format = Format::parse(if quiet { "{{.ID}}" } else { given }, kind)?;
    let platform = flags.platform.as_deref().map(super::platform_json).transpose()?;
    let items = app.client().await?.image_history(&flags.image[0], platform.as_deref()).await?;
    let rows = items.iter().map(|item| row(item, &flags));
    output::out(&format.render(kind, rows)?)?;
    Ok(0)
}

fn row(item: &HistoryItem, flags: &HistoryFlags) -> Row {
    let by = item.created_by.replace('\t', " ");
    Row::new()
        .with("ID", if flags.no_trunc { item.id.clone() } else { short_id(&item.id) })
        .with("CreatedSince", if item.created > 0 { duration::ago(item.created) } else { "N/A".into() })
        .with("CreatedAt", jiff::Timestamp::from_second(item.created).map_or_else(|_| "N/A".into(), |t| t.to_string()))
        .with("CreatedBy", if flags.no_trunc { by } else { ellipsis(&by, 45) })
        .with("Size", if flags.human { size::of(item.size) } else { item.size.to_string() })
        .with("Comment", item.comment.as_str())
}
