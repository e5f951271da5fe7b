//! `search`: repositories on Docker Hub, or in the registry that the term begins with.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::Outcome;
use crate::output;
use crate::output::table::{Format, Kind, Row};

/// What `search` takes.
#[derive(Debug, Args)]
pub struct SearchFlags {
    /// Which (is-official=true, stars=3)
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long)]
    format: Option<String>,
    /// How many at most
    #[arg(long)]
    limit: Option<u32>,
    /// Show descriptions in full
    #[arg(long)]
    no_trunc: bool,
    /// What to look for, behind a registry other than Docker Hub where it begins with one
    #[arg(value_name = "TERM")]
    term: String,
}

definition! {
    SearchFlags, search,
    names: &["search"],
    about: "Search Docker Hub or another registry for images",
    usage: "[OPTIONS] TERM",
    arity: Arity::Exactly(1),
}

const KIND: Kind = Kind {
    name: "searchContext",
    table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
    headings: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
};

/// Descriptions are cut to so many characters.
const WIDTH: usize = 45;

async fn search(app: &App, flags: SearchFlags) -> Outcome {
    let format = Format::parse(flags.format.as_deref().unwrap_or_default(), &KIND)?;
    let domain = flags.term.split_once('/').map_or("", |(first, _)| first);
    let domain = if domain.contains(['.', ':']) || domain == "localhost" { domain } else { "" };
    let auth = app.credentials()?.get(domain)?;
    let filters = filters(&flags.filter)?;
    let found = app.client().await?.image_search(&flags.term, flags.limit, &filters, Some(&auth)).await?;
    let rows = found.into_iter().map(|result| {
        let description = result.description.replace(['\n', '\r'], " ");
        let description = if flags.no_trunc { description } else { output::ellipsis(&description, WIDTH) };
        let mark = |is: bool| if is { "[OK]" } else { "" };
        Row::new()
            .with("Name", result.name)
            .with("Description", description)
            .with("StarCount", result.star_count.to_string())
            .with("IsOfficial", mark(result.is_official))
            .with("IsAutomated", mark(result.is_automated))
    });
    output::out(&format.render(&KIND, rows)?)?;
    Ok(0)
}
