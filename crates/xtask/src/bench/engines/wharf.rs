//! wharf, started as the tests start it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use wharf_testkit::census::{Process, processes};
use wharf_testkit::{Options, TempEngine};

use super::{Engine, import, outside_containers};

/// A temporary engine of the binary that is measured.
pub struct Wharf {
    binary: PathBuf,
    engine: TempEngine,
}

impl Wharf {
    /// Starts one and gives it the image.
    pub fn start(binary: &Path) -> Result<Self> {
        let options = Options { without_image: true, program: Some(binary.to_owned()), ..Options::default() };
        let wharf = Self { binary: binary.to_owned(), engine: TempEngine::start_with(options) };
        import(&wharf)?;
        Ok(wharf)
    }
}

impl Engine for Wharf {
    fn name(&self) -> &'static str {
        "wharf"
    }

    fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("WHARF_HOST", self.engine.host()).args(arguments);
        command
    }

    fn socket(&self) -> Option<PathBuf> {
        Some(self.engine.socket())
    }

    fn processes(&self) -> Vec<Process> {
        let folder = self.engine.marks().folder.display().to_string();
        let own = |process: &Process| process.command.contains(&folder);
        outside_containers(processes().filter(own))
    }

    fn stop(&mut self) -> Result<()> {
        self.engine.stop();
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.engine.restart();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.engine.finish();
        Ok(())
    }
}
