//! `images`: the images there are.

use std::collections::BTreeMap;

use clap::Args;
use wharf_api::image::Summary;
use wharf_client::ImageListOptions;

use crate::app::App;
use crate::commands::{Arity, definition, filters};
use crate::failure::{Failure, Outcome};
use crate::output::table::{Format, Kind, Row};
use crate::output::{self, duration, short_id, size};

/// What `images` takes.
#[derive(Debug, Args)]
pub struct LsFlags {
    /// Show images between others as well
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Which (dangling=true, reference=debian*, label=KEY=VALUE, ...)
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
    /// Show the platforms as a tree
    #[arg(long)]
    tree: bool,
    /// Repository or image
    #[arg(value_name = "REPOSITORY", num_args = 0..)]
    repository: Vec<String>,
}

definition! {
    LsFlags, ls,
    names: &["image ls", "image list", "images"],
    about: "List images",
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    arity: Arity::AtMost(1),
}

const CREATED: &str = "{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}";

const KIND: Kind = Kind {
    name: "imageContext",
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}",
    headings: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
};

async fn ls(app: &App, flags: LsFlags) -> Outcome {
    if flags.tree && (flags.quiet || flags.no_trunc || flags.digests || flags.format.is_some()) {
        return Err(Failure::new("--tree goes with neither --quiet, --no-trunc, --digests nor --format"));
    }
    let given = app.format(flags.format.as_deref(), "imagesFormat")?;
    let given = given.as_str();
    let digests =
        format!("table {{{{.Repository}}}}\t{{{{.Tag}}}}\t{{{{.Digest}}}}\t{{{{.ID}}}}\t{CREATED}\t{{{{.Size}}}}");
    let format = match given {
        "" | "table" if flags.quiet => "{{.ID}}",
        "" | "table" if flags.digests => &digests,
        given => given,
    };
    let format =
        Format::parse(format, &KIND).map_err(|error| Failure::new(format!("failed to parse template: {error}")))?;
    let mut filters = filters(&flags.filter)?;
    if let Some(reference) = flags.repository.first() {
        filters.add("reference", reference.as_str());
    }
    let options = ImageListOptions { all: flags.all, filters, manifests: flags.tree, ..ImageListOptions::default() };
    let images = app.client().await?.image_list(&options).await?;
    if flags.tree {
        return output::out(&super::tree::render(&images)).map(|()| 0);
    }
    let with_digests = flags.digests || format.wants("Digest") && !format.is_json();
    let mut rows: Vec<Row> = Vec::new();
    for image in &images {
        for (repository, tag, digest) in names(image, with_digests) {
            rows.push(row(image, &repository, &tag, &digest, !flags.no_trunc));
        }
    }
    let text =
        format.render(&KIND, rows).map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
    output::out(&text)?;
    Ok(0)
}

/// A line for each name of an image: repository, tag, digest.
fn names(image: &Summary, with_digests: bool) -> Vec<(String, String, String)> {
    const NONE: &str = "<none>";
    let none = || NONE.to_owned();
    let mut digests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (repository, digest) in image.repo_digests.iter().filter_map(|text| text.split_once('@')) {
        digests.entry(repository).or_default().push(digest);
    }
    let mut lines = Vec::new();
    for (repository, tag) in image.repo_tags.iter().filter_map(|text| text.rsplit_once(':')) {
        if repository == NONE {
            continue;
        }
        match digests.get(repository).filter(|_| with_digests) {
            Some(digests) => {
                lines
                    .extend(digests.iter().map(|digest| (repository.to_owned(), tag.to_owned(), (*digest).to_owned())));
            }
            None => lines.push((repository.to_owned(), tag.to_owned(), none())),
        }
    }
    let tagged: Vec<String> = lines.iter().map(|(repository, ..)| repository.clone()).collect();
    for (repository, digests) in digests.iter().filter(|(r, _)| **r != NONE && !tagged.iter().any(|t| t == *r)) {
        let shown = if with_digests { digests.clone() } else { vec![NONE] };
        lines.extend(shown.iter().map(|digest| ((*repository).to_owned(), none(), (*digest).to_owned())));
    }
    if lines.is_empty() {
        lines.push((none(), none(), none()));
    }
    lines
}

fn row(image: &Summary, repository: &str, tag: &str, digest: &str, short: bool) -> Row {
    let counted = |n: i64| if n < 0 { "N/A".to_owned() } else { n.to_string() };
    let sized = |n: i64| if n < 0 { "N/A".to_owned() } else { size::of(n) };
    let since = if image.created > 0 { duration::ago(image.created) } else { String::new() };
    Row::new()
        .with("ID", if short { short_id(&image.id) } else { image.id.clone() })
        .with("Repository", repository)
        .with("Tag", tag)
        .with("Digest", digest)
        .with("CreatedSince", since)
        .with("CreatedAt", duration::go_time(image.created))
        .with("Size", size::of(image.size))
        .with("Containers", counted(image.containers))
        .with("VirtualSize", size::decimal(exact(image.size)))
        .with("SharedSize", sized(image.shared_size))
        .with(
            "UniqueSize",
            if image.shared_size < 0 { "N/A".to_owned() } else { size::of(image.size - image.shared_size) },
        )
}

#[allow(clippy::cast_precision_loss)] // four digits are shown
fn exact(bytes: i64) -> f64 {
    bytes as f64
}
