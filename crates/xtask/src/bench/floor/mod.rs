//! The floor: only the kernel's work for one container, in one process, from a busybox root file system.
//!
//! Clone into namespaces, mount an overlay, pivot_root, execute `true`, wait; the mounts go with the namespace. Variants
//! add a network namespace with loopback up, a veth pair on a bridge with address and route, and cgroups. No engine can
//! be faster than this, so it is what the promises of `run` are measured against.

mod cgroup;
mod container;
mod rtnetlink;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

pub use rtnetlink::Bridge;

use crate::command;

/// One start of a container with nothing but system calls.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Where the root file system `rootfs` is and the overlay may write
    #[arg(long)]
    folder: PathBuf,
    /// How much of a network
    #[arg(long, value_enum)]
    network: Network,
    /// Make a cgroup in every hierarchy
    #[arg(long)]
    cgroups: bool,
    /// Bridge for `--network veth`
    #[arg(long, default_value = "")]
    bridge: String,
    /// How often
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// Time this program and its arguments instead
    #[arg(last = true)]
    program: Vec<String>,
}

/// How much of a network the container gets.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's
    Host,
    /// A namespace of its own with loopback up
    Loopback,
    /// A veth pair on a bridge, address and default route
    Veth,
}

/// Runs it and prints each run's time in nanoseconds, one a line.
pub fn run(arguments: &Arguments) -> Result<()> {
    for number in 0..arguments.runs {
        let start = Instant::now();
        match arguments.program.as_slice() {
            [] => container::run(arguments, number)?,
            [program, rest @ ..] => {
                let status = Command::new(program).args(rest).stdout(std::process::Stdio::null()).status()?;
                ensure!(status.success(), "{program} failed with {status}");
            }
        }
        println!("{}", start.elapsed().as_nanos());
    }
    Ok(())
}

/// Runs the floor in a process of its own and gives the times in milliseconds.
pub fn measure(folder: &std::path::Path, network: Network, cgroups: bool, bridge: &str, runs: u32) -> Result<Vec<f64>> {
    let mut floor = Command::new(std::env::current_exe()?);
    let network = match network {
        Network::Host => "host",
        Network::Loopback => "loopback",
        Network::Veth => "veth",
    };
    floor.args(["floor", "--network", network, "--bridge", bridge, "--runs", &runs.to_string()]);
    floor.arg("--folder").arg(folder);
    if cgroups {
        floor.arg("--cgroups");
    }
    times(&command::quietly(&mut floor)?)
}

/// Reads what [`run`] prints.
pub fn times(output: &str) -> Result<Vec<f64>> {
    let nanoseconds = output.lines().map(|line| line.trim().parse::<f64>());
    nanoseconds.map(|time| Ok(time.context("not a time")? / 1e6)).collect()
}
