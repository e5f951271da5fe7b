//! The engines that are measured: wharf, and those of others that are installed, each with folders of its own.

mod dockerd;
mod podman;
mod wharf;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use wharf_testkit::census::Process;
use wharf_testkit::http::Http;

pub use wharf::Wharf;

use crate::command;

/// The image that every engine has.
pub const IMAGE: &str = "bench:test";

/// An engine under measurement.
pub trait Engine: Sync {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Its own command line, as a person would use it.
    fn cli(&self, arguments: &[&str]) -> Command;

    /// Its API socket, if it has one.
    fn socket(&self) -> Option<PathBuf>;

    /// Everything of it that runs beside the containers' own processes.
    fn processes(&self) -> Vec<Process>;

    /// Ends its process, if it has one and that runs.
    fn stop(&mut self) -> Result<()>;

    /// Starts its process and waits until it answers.
    fn start(&mut self) -> Result<()>;

    /// Takes it down and removes what it has made.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Starts every engine that is there. What cannot be started is reported and left out.
pub fn start(binary: &Path, without_peers: bool) -> Result<Vec<Box<dyn Engine>>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Wharf::start(binary)?)];
    if without_peers {
        return Ok(engines);
    }
    for (name, started) in [("dockerd", dockerd::start()), ("podman", podman::start())] {
        match started {
            Ok(Some(engine)) => engines.push(engine),
            Ok(None) => println!("{name} is not installed and left out"),
            Err(error) => println!("{name} cannot be measured: {error:#}"),
        }
    }
    Ok(engines)
}

/// A connection to an engine's API.
pub fn http(engine: &dyn Engine) -> Option<Http> {
    Some(Http::new(&engine.socket()?))
}

/// Has an engine import the golden image by its own command line.
fn import(engine: &dyn Engine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("rootfs.tar");
    std::fs::write(&archive, wharf_testkit::golden::busybox_rootfs())?;
    let archive = archive.display().to_string();
    command::quietly(engine.cli(&["import", &archive, IMAGE]).stdin(Stdio::null()))?;
    Ok(())
}

/// Those of the processes that are not inside a container, told by their process id namespace.
fn outside_containers(processes: impl Iterator<Item = Process>) -> Vec<Process> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace("self");
    processes.filter(|process| namespace(&process.pid.to_string()) == own).collect()
}
