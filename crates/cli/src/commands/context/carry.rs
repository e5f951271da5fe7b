//! `context export` and `context import`.

use std::io::{Read, Write};

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::context::{check_name, pack, unpack};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `context export` takes.
#[derive(Debug, Args)]
pub struct ExportFlags {
    #[arg(value_name = "CONTEXT", num_args = 0..)]
    words: Vec<String>,
}

definition! {
    ExportFlags, export,
    names: &["context export"],
    about: "Write a context with its certificates into a file",
    usage: "[OPTIONS] CONTEXT [FILE|-]",
    arity: Arity::Between(1, 2),
}

async fn export(app: &App, flags: ExportFlags) -> Outcome {
    let name = &flags.words[0];
    let archive = pack(&app.contexts().get(name)?)?;
    let path = flags.words.get(1).cloned().unwrap_or_else(|| format!("{name}.dockercontext"));
    if path == "-" {
        if output::is_terminal() {
            return Err(Failure::new("cowardly refusing to export to a terminal, specify a file path"));
        }
        output::out_bytes(&archive)?;
        return Ok(0);
    }
    // It holds a key.
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&archive))
        .map_err(|error| Failure::new(format!("cannot write {path}: {}", output::os_error(&error))))?;
    output::err(&format!("Written file {path:?}\n"));
    Ok(0)
}

/// `context import`.
pub mod import {
    use super::{App, Args, Arity, Failure, Outcome, Read, check_name, definition, output, unpack};

    /// What `context import` takes.
    #[derive(Debug, Args)]
    pub struct ImportFlags {
        #[arg(value_name = "CONTEXT", num_args = 0..)]
        words: Vec<String>,
    }

    definition! {
        ImportFlags, import,
        names: &["context import"],
        about: "Read a context from a file that 'context export' has written",
        usage: "CONTEXT FILE|-",
        arity: Arity::Exactly(2),
    }

    async fn import(app: &App, flags: ImportFlags) -> Outcome {
        let (name, path) = (&flags.words[0], &flags.words[1]);
        check_name(name)?;
        if app.contexts().has(name) {
            return Err(Failure::new(format!("context {name:?} already exists")));
        }
        let mut bytes = Vec::new();
        let read = match path.as_str() {
            "-" => std::io::stdin().lock().read_to_end(&mut bytes).map(drop),
            path => std::fs::read(path).map(|content| bytes = content),
        };
        read.map_err(|error| Failure::new(format!("cannot read {path}: {}", output::os_error(&error))))?;
        app.contexts().put(&unpack(name, &bytes)?)?;
        output::out(&format!("{name}\n"))?;
        output::err(&format!("Successfully imported context \"{name}\"\n"));
        Ok(0)
    }
}
