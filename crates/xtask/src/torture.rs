//! `cargo xtask torture`: the engine killed a thousand times under load.

use anyhow::{Context, Result};
use wharf_testkit::torture::{self, Plan, Report};
use wharf_testkit::{Options, engine};

use crate::cargo;

/// What `torture` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often the engine is killed
    #[arg(long, default_value_t = 1000)]
    kills: usize,
    /// Workers that do containers at the same time
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// The longest life of an engine, in milliseconds
    #[arg(long, default_value_t = 400)]
    longest: u64,
    /// Where the random numbers begin; a new place each time if not given
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs until the end of the plan or the first broken promise.
pub fn run(arguments: &Arguments) -> Result<()> {
    if std::env::var_os("WHARF_BIN").is_none() {
        cargo::debug_binary()?;
    }
    let seed = arguments.seed.unwrap_or_else(|| std::process::id().into());
    println!("{} kills with {}, seed {seed}", arguments.kills, engine::program().display());
    let plan = Plan { kills: arguments.kills, workers: arguments.workers, longest: arguments.longest, seed };
    let report = torture::run(plan, Options::default(), &mut |report| {
        if report.kills.is_multiple_of(25) {
            println!("{}", line(report));
        }
    });
    let mut starts = report.starts.clone();
    starts.sort_by(f64::total_cmp);
    let longest = starts.last().context("the engine was never killed")?;
    println!("{}\nno promise was broken", line(&report));
    println!(
        "start of an engine to its first answer: median {:.0} ms, longest {longest:.0} ms",
        starts[starts.len() / 2]
    );
    Ok(())
}

fn line(report: &Report) -> String {
    format!(
        "{} kills: {} acknowledged, {} cut off, {} survivors, {} monitors killed, {} lines, {} censuses",
        report.kills,
        report.acknowledged,
        report.cut_off,
        report.survivors,
        report.monitors_killed,
        report.lines,
        report.censuses,
    )
}
