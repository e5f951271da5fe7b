//! The end-to-end tests on cgroup v2 and an older kernel: a virtual machine with Debian's cloud kernel and systemd.
//!
//! Emulated in software (TCG), for nested virtualisation is not to be had everywhere; so only a part of the tests runs
//! here. The machine has no network. It is made of four things below `target/vm`: the kernel out of its Debian package,
//! a first file system with the drivers for the disk, the disk (made once by debootstrap and never written to), and a
//! tar archive as a second disk with the programs under test. What the tests print comes over the second serial port
//! and ends with a line that carries the exit code; without that line the run has failed.

mod disk;
mod guest;
mod kernel;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::{cargo, command, needs};

/// The tests that run in the machine where nothing else is asked for.
const TESTS: &[&str] = &["smoke", "limits", "isolation", "ipvlan", "macvlan"];

/// Run the end-to-end tests on cgroup v2 in a virtual machine.
#[derive(clap::Args, Debug, Default)]
pub struct Arguments {
    /// Run the tests whose names contain one of these
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Run this shell command in the machine instead of the tests
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Make the disk anew even where there is one
    #[arg(long)]
    fresh: bool,
}

/// Makes the machine where it is not there yet, and runs the tests in it.
pub fn run(arguments: &Arguments) -> Result<()> {
    needs::install(needs::FOR_VM)?;
    let folder = command::target().join("vm");
    std::fs::create_dir_all(&folder)?;
    let kernel = kernel::fetch(&folder)?;
    let disk = disk::make(&folder, &kernel, arguments.fresh)?;
    let payload = guest::payload(&folder, &script(arguments), &programs(arguments)?)?;
    let start = Instant::now();
    let code = guest::boot(&folder, &kernel, &disk, &payload)?;
    println!("the virtual machine ran for {:.0} s", start.elapsed().as_secs_f64());
    match code {
        Some(0) => Ok(()),
        Some(code) => bail!("the tests in the virtual machine failed with exit code {code}"),
        None => bail!("the virtual machine ended without a result; its console is in target/vm/console.log"),
    }
}

/// What goes into the machine: the binary and the end-to-end tests.
fn programs(arguments: &Arguments) -> Result<Vec<(String, PathBuf)>> {
    if arguments.command.is_some() {
        return Ok(Vec::new());
    }
    let wharf = cargo::debug_binary()?;
    let tests = cargo::executables("test --no-run --package wharf --test e2e")?;
    let tests = cargo::built(tests, "e2e")?;
    ensure!(wharf.exists(), "no wharf at {}", wharf.display());
    Ok(vec![("wharf".to_owned(), wharf), ("e2e".to_owned(), tests)])
}

fn script(arguments: &Arguments) -> String {
    if let Some(command) = &arguments.command {
        return command.clone();
    }
    let filters: Vec<&str> = match arguments.filters.as_slice() {
        [] => TESTS.to_vec(),
        filters => filters.iter().map(String::as_str).collect(),
    };
    format!("WHARF_BIN=/payload/wharf /payload/e2e --test-threads 2 {}", filters.join(" "))
}
