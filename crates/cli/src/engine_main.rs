//! The engine: flags, listeners, the end.

mod containers;
mod dockerd;
mod flags;
mod network;
mod registries;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::output;

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
    let settings = match called {
        Called::Engine => flags::read(words),
        Called::Dockerd => dockerd::read(words),
    };
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            output::err(&error.render().to_string());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match serve::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::err(&format!(
                "{}: {}\n",
                if called == Called::Engine { "wharf engine" } else { "dockerd" },
                error.chain()
            ));
            if let Some(hint) = error.hint() {
                output::err(&format!("hint: {hint}\n"));
            }
            ExitCode::from(1)
        }
    }
}
