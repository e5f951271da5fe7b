//! The Dockerfile language, as of the stable syntax of BuildKit's `docker/dockerfile:1`.
//!
//! A text passes through [`lines`] (directives, continuations, comments, here-documents), then through `parse`
//! (instructions and their flags). What may name variables stays as it was written: [`words`] expands it when values are
//! known. Nothing here does I/O.

pub mod lines;
pub mod lint;
pub mod words;

mod directives;
mod document;
mod flags;
mod heredoc;
mod instruction;
mod mount;
mod parse;
mod source;
mod transfer;

pub use directives::{CheckRules, Directives};
pub use document::{Dockerfile, Stage};
pub use heredoc::Heredoc;
pub use instruction::{Arg, Command, Health, HealthTest, Instruction, Kind, Network, Pair, Run, Security};
pub use mount::{Mount, MountKind, Sharing};
pub use parse::instruction as parse_instruction;
pub use source::{Failure, Source, Span};
pub use transfer::{Origin, Transfer};

/// Reads a whole Dockerfile.
///
/// # Errors
/// The first thing that cannot be read, with its place.
pub fn parse(source: &Source) -> Result<Dockerfile, Failure> {
    document::read(source)
}

/// For a fuzzer: reads any bytes and touches everything that follows from them. Must never panic.
pub fn fuzz(bytes: &[u8]) {
    let source = Source::new("Dockerfile", String::from_utf8_lossy(bytes));
    match parse(&source) {
        Ok(file) => {
            drop(lint::check(&file, &lint::Known::default()));
            for stage in &file.stages {
                let expansion = words::Expansion::new(file.directives.escape);
                drop(expansion.words(&stage.base, &words::NoVariables));
            }
        }
        Err(failure) => drop(failure.excerpt(&source)),
    }
}

#[cfg(test)]
mod tests;
