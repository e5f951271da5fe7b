//! Building with cargo and finding what was built.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command;

/// A cargo command in the project's folder.
pub fn cargo(line: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(line.split_whitespace()).current_dir(command::project());
    // What cargo set for this program is about this program.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "CARGO_MANIFEST_PATH" {
            command.env_remove(name);
        }
    }
    command
}

/// Builds and gives the executables that came of it, by target name.
pub fn executables(line: &str) -> Result<Vec<(String, PathBuf)>> {
    println!("$ cargo {line}");
    let mut command = cargo(&format!("{line} --message-format json-render-diagnostics"));
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo {line} failed");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str()?;
        Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
    });
    Ok(found.collect())
}

/// Builds the `wharf` binary for people and gives its path.
pub fn release_binary() -> Result<PathBuf> {
    built(executables("build --release --package wharf")?, "wharf")
}

/// Builds the `wharf` binary for tests and gives its path.
pub fn debug_binary() -> Result<PathBuf> {
    built(executables("build --package wharf")?, "wharf")
}

/// The one executable with this name.
pub fn built(executables: Vec<(String, PathBuf)>, wanted: &str) -> Result<PathBuf> {
    let found = executables.into_iter().find(|(name, _)| name == wanted);
    Ok(found.with_context(|| format!("cargo built no '{wanted}'"))?.1)
}
