//! What is measured. Every measure runs all engines in turn within each round, so that whatever else the machine does
//! falls on all of them.

mod api;
mod burst;
mod floor;
mod images;
mod memory;
mod network;
mod pull;
mod registry;
mod run;
mod runtimes;
mod size;
mod startup;
mod streams;

use std::time::Instant;

use anyhow::Result;

use super::engines::Engine;
use super::report::Row;

/// What is measured where nothing else is asked for, in this order.
pub const ALL: [(&str, Measure); 12] = [
    ("floor", floor::measure),
    ("run", run::measure),
    ("api", api::measure),
    ("burst", burst::measure),
    ("memory", memory::measure),
    ("startup", startup::measure),
    ("images", images::measure),
    ("registry", registry::measure),
    ("network", network::measure),
    ("runtimes", runtimes::measure),
    ("streams", streams::measure),
    ("size", size::measure),
];

/// A function that gives rows for the report.
pub type Measure = fn(&mut Setting) -> Result<Vec<Row>>;

/// What a measure works with.
pub struct Setting {
    /// The engines; the first is wharf.
    pub engines: Vec<Box<dyn Engine>>,
    /// The binary that is measured.
    pub binary: std::path::PathBuf,
    /// Fewer rounds, for a first look.
    pub quick: bool,
}

impl Setting {
    /// How many rounds: the number, or a fifth of it.
    fn rounds(&self, number: u32) -> u32 {
        if self.quick { (number / 5).max(3) } else { number }
    }
}

/// The time of some work in milliseconds.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let start = Instant::now();
    let result = work()?;
    Ok((start.elapsed().as_secs_f64() * 1e3, result))
}
