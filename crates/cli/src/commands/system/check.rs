//! `system check`: look through the store for damage, and repair it.

use clap::Args;
use wharf_api::system::upkeep::{CheckItem, CheckSummary, Finding};
use wharf_client::ItemOrProgress;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output::progress::Progress;
use crate::output::{self, size};

/// What `system check` takes.
#[derive(Debug, Args)]
pub struct CheckFlags {
    /// Repair what can be repaired from what is there
    #[arg(long)]
    repair: bool,
    /// 'json' for one document per line
    #[arg(long)]
    format: Option<String>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

definition! {
    CheckFlags, check,
    names: &["system check"],
    about: "Look through blobs, layers and images for damage",
    usage: "[OPTIONS]",
    arity: Arity::None,
}

async fn check(app: &App, flags: CheckFlags) -> Outcome {
    let json = match flags.format.as_deref() {
        None | Some("") => false,
        Some("json") => true,
        Some(other) => return Err(Failure::new(format!("unknown format {other:?}")).with_hint("use --format json")),
    };
    let mut items = app.client().await?.system_check(flags.repair).await?;
    let mut progress = Progress::on_stderr(flags.quiet || !output::is_terminal());
    let mut left = None;
    while let Some(line) = items.next().await {
        let item = match line? {
            ItemOrProgress::Progress(line) => {
                progress.show(&line)?;
                continue;
            }
            ItemOrProgress::Item(item) => item,
        };
        if let CheckItem::Summary(summary) = &item {
            left = Some(summary.found - summary.repaired);
            progress = Progress::on_stderr(true);
        }
        if json {
            let text = serde_json::to_string(&item).map_err(|error| Failure::new(error.to_string()))?;
            output::out(&format!("{text}\n"))?;
            continue;
        }
        output::out(&match &item {
            CheckItem::Finding(finding) => sentence(finding),
            CheckItem::Summary(summary) => closing(summary, flags.repair),
        })?;
    }
    match left {
        Some(0) => Ok(0),
        Some(_) => Ok(1),
        None => Err(Failure::new("the engine ended the check early")),
    }
}

fn sentence(finding: &Finding) -> String {
    let Finding { flaw, subject, detail, repaired } = finding;
    match repaired {
        Some(repaired) => format!("{flaw}: {subject}: {detail}\n  repaired: {repaired}\n"),
        None => format!("{flaw}: {subject}: {detail}\n"),
    }
}

fn closing(summary: &CheckSummary, repair: bool) -> String {
    let bytes = size::of(i64::try_from(summary.blob_bytes).unwrap_or(i64::MAX));
    let uncompared = match summary.uncompared {
        0 => String::new(),
        1 => ", 1 layer had nothing to be compared with".to_owned(),
        many => format!(", {many} layers had nothing to be compared with"),
    };
    let looked = format!("Read {} blobs ({bytes}), compared {} layers{uncompared}: ", summary.blobs, summary.layers);
    let result = match (summary.found, summary.repaired) {
        (0, _) => "all is well".to_owned(),
        (found, 0) if !repair => format!("{found} problems; --repair mends what can be mended"),
        (found, repaired) => format!("{found} problems, {repaired} repaired"),
    };
    format!("{looked}{result}\n")
}
