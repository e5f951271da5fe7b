//! The engine: flags, listeners, the end.

mod common;
mod containers;
mod dockerd;
mod dump;
mod file;
mod flags;
mod log;
mod network;
mod registries;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::output;

#[cfg(test)]
pub use common::without_effect;
#[cfg(test)]
pub use dockerd::command as dockerd_command;
pub use flags::command;

/// By which name the engine was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// `wharf engine`.
    Engine,
    /// `dockerd`.
    Dockerd,
}

/// Reads the words and runs the engine until it is told to end.
pub fn main(called: Called, words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    let settings = match called.read(&words) {
        Ok(settings) => settings,
        Err(error) => {
            output::err(&error.render().to_string());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match settings.common.validate {
        true => validate(&settings),
        false => serve::run(settings, move || called.read(&words)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::err(&format!("{}: {}\n", called.name(), error.chain()));
            if let Some(hint) = error.hint() {
                output::err(&format!("hint: {hint}\n"));
            }
            ExitCode::from(1)
        }
    }
}

impl Called {
    fn name(self) -> &'static str {
        if self == Called::Engine { "wharf engine" } else { "dockerd" }
    }

    fn read(self, words: &[OsString]) -> Result<flags::Settings, clap::Error> {
        match self {
            Called::Engine => flags::read(words),
            Called::Dockerd => dockerd::read(words),
        }
    }
}

/// `--validate`: everything that can be checked without touching anything.
fn validate(settings: &flags::Settings) -> wharf_types::Result<()> {
    settings.common.access()?;
    settings.common.labels()?;
    for host in settings.hosts.iter().filter(|host| !host.starts_with("fd://")) {
        host.parse::<wharf_server::Host>()?;
    }
    for line in &settings.idle {
        output::err(&format!("warning: {line}\n"));
    }
    // Docker says so on standard error as well.
    output::err("configuration OK\n");
    Ok(())
}
