//! `system prune`: remove everything that nothing uses.

use clap::Args;
use wharf_api::filters::Filters;
use wharf_api::system::upkeep::PruneItem;
use wharf_client::{Client, ItemOrProgress};
use wharf_types::Kind;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::{self, size};

/// What `system prune` takes.
#[derive(Debug, Args)]
pub struct PruneFlags {
    /// Remove all images that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Which (until=24h, label=KEY=VALUE)
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes as well
    #[arg(long)]
    volumes: bool,
}

definition! {
    PruneFlags, prune,
    names: &["system prune"],
    about: "Remove what nothing uses: containers, networks, images, build cache",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn prune(app: &App, flags: PruneFlags) -> Outcome {
    let filters = crate::commands::filters(&flags.filter)?;
    if flags.volumes && filters.contains("until") {
        return Err(Failure::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !flags.force && !output::confirm(&question(&flags))? {
        return Ok(0);
    }
    let client = app.client().await?;
    let mut reclaimed = 0;
    let containers = client.container_prune(&filters).await?;
    list("Containers", &containers.containers_deleted)?;
    reclaimed += containers.space_reclaimed;
    let networks = client.network_prune(&filters).await?;
    list("Networks", &networks.networks_deleted)?;
    if flags.volumes {
        let volumes = client.volume_prune(&filters).await?;
        list("Volumes", &volumes.volumes_deleted)?;
        reclaimed += volumes.space_reclaimed;
    }
    reclaimed += images(client, filters.clone(), flags.all).await?;
    let cache = client.build_prune(flags.all, None, &Filters::new()).await?;
    list("build cache objects", cache.caches_deleted.as_deref().unwrap_or_default())?;
    reclaimed += cache.space_reclaimed;
    #[allow(clippy::cast_precision_loss)] // four digits are shown
    let space = size::decimal(reclaimed as f64);
    output::out(&format!("Total reclaimed space: {space}\n"))?;
    Ok(0)
}

fn question(flags: &PruneFlags) -> String {
    let mut what = vec!["all stopped containers", "all networks not used by at least one container"];
    if flags.volumes {
        what.push("all anonymous volumes not used by at least one container");
    }
    match flags.all {
        true => what.extend(["all images without at least one container associated to them", "all build cache"]),
        false => what.extend(["all dangling images", "unused build cache"]),
    }
    let mut text = String::from("WARNING! This will remove:\n");
    text.extend(what.iter().map(|line| format!("  - {line}\n")));
    if !flags.filter.is_empty() {
        text.push_str(&format!("\n  Items to be pruned will be filtered with:\n  - {}\n", flags.filter.join("\n  - ")));
    }
    text + "\nAre you sure you want to continue?"
}

fn list(heading: &str, names: &[String]) -> Outcome<()> {
    if names.is_empty() {
        return Ok(());
    }
    output::out(&format!("Deleted {heading}:\n{}\n\n", names.join("\n")))
}

/// Says each image as it goes; gives the bytes that came free.
async fn images(client: &Client, mut filters: Filters, all: bool) -> Outcome<u64> {
    filters.add("dangling", if all { "false" } else { "true" });
    let mut items = match client.image_prune_with_progress(&filters, false).await {
        Ok(items) => items,
        // Another engine than wharf's tells everything at the end.
        Err(error) if error.kind() == Kind::NotFound => {
            return Ok(client.image_prune(&filters).await?.space_reclaimed);
        }
        Err(error) => return Err(error.into()),
    };
    let (mut reclaimed, mut any) = (0_u64, false);
    while let Some(line) = items.next().await {
        match line? {
            ItemOrProgress::Item(PruneItem::Removed(item)) => {
                let heading = if any { "" } else { "Deleted Images:\n" };
                any = true;
                let line = match (&item.untagged, &item.deleted) {
                    (Some(name), _) => format!("untagged: {name}"),
                    (_, Some(id)) => format!("deleted: {id}"),
                    _ => continue,
                };
                output::out(&format!("{heading}{line}\n"))?;
            }
            ItemOrProgress::Item(PruneItem::Reclaimed(bytes)) => reclaimed = bytes,
            _ => {}
        }
    }
    if any {
        output::out("\n")?;
    }
    Ok(reclaimed)
}
