//! `cargo xtask bench`: wharf beside the kernel's own cost and beside the engines that are installed, in one run.
//!
//! Absolute times on a shared machine are noise; the promises of SPECIFICATION.md are ratios within a run, or small
//! absolute numbers with room.

mod engines;
pub mod floor;
mod host;
mod measure;
mod report;
mod stats;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, command};
use measure::Setting;
use report::Report;

/// Measure wharf against the promises, the kernel's own cost and the engines that are installed.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Fewer rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Only these measures (repeatable): floor, run, api, burst, memory, startup, images, registry, network, runtimes, size
    #[arg(long, value_name = "MEASURE")]
    only: Vec<String>,
    /// Measure this binary instead of building the release one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Leave other engines out
    #[arg(long)]
    alone: bool,
    /// Write everything to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures and prints a table; a broken promise is a failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the benchmark makes containers and so needs root");
    let chosen = chosen(&arguments.only)?;
    let binary = match &arguments.binary {
        Some(path) => path.canonicalize().with_context(|| format!("no binary at {}", path.display()))?,
        None => cargo::release_binary()?,
    };
    let host = host::Host::note()?;
    let mut setting = Setting { engines: engines::start(&binary, arguments.alone)?, binary, quick: arguments.quick };
    let mut report = Report { setting: machine(), ..Report::default() };
    let mut result = Ok(());
    for (name, measure) in chosen {
        println!("measuring {name}");
        match measure(&mut setting) {
            Ok(rows) => report.rows.extend(rows),
            Err(error) => result = Err(error.context(format!("the measure '{name}' failed"))),
        }
    }
    for engine in setting.engines {
        let name = engine.name();
        if let Err(error) = engine.finish() {
            eprintln!("{name}: {error:#}");
        }
    }
    host.restore()?;
    println!("\n{}", report.markdown());
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    result?;
    match report.missed() {
        0 => Ok(()),
        missed => bail!("{missed} promises are not kept"),
    }
}

fn chosen(only: &[String]) -> Result<Vec<(&'static str, measure::Measure)>> {
    if let Some(unknown) = only.iter().find(|name| !measure::ALL.iter().any(|(known, _)| known == name)) {
        bail!("there is no measure '{unknown}'; there are {}", measure::ALL.map(|(name, _)| name).join(", "));
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|chosen| chosen == name);
    Ok(measure::ALL.into_iter().filter(|(name, _)| wanted(name)).collect())
}

fn machine() -> std::collections::BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, usize::from).to_string();
    let versions = ["dockerd", "docker", "podman", "crun", "runc"].into_iter().filter_map(|program| {
        let mut ask = command::words(&format!("{program} --version"));
        let answer = command::quietly(&mut ask).ok()?;
        Some((program.to_owned(), answer.lines().next()?.to_owned()))
    });
    let own =
        [("kernel", read("/proc/sys/kernel/osrelease")), ("load", read("/proc/loadavg")), ("processors", processors)];
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(versions).collect()
}
