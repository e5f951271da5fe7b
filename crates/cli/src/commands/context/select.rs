//! `context use` and `context show`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::context::DEFAULT;
use crate::env;
use crate::failure::Outcome;
use crate::output;

/// What `context use` takes.
#[derive(Debug, Args)]
pub struct UseFlags {
    #[arg(value_name = "CONTEXT", num_args = 0..)]
    names: Vec<String>,
}

definition! {
    UseFlags, select,
    names: &["context use"],
    about: "Make a context the current one",
    usage: "CONTEXT",
    arity: Arity::Exactly(1),
}

async fn select(app: &App, flags: UseFlags) -> Outcome {
    let name = &flags.names[0];
    if name != DEFAULT {
        app.contexts().get(name)?;
    }
    app.use_context(name)?;
    output::out(&format!("{name}\n"))?;
    output::err(&format!("Current context is now {name:?}\n"));
    for variable in [env::WHARF_HOST, env::DOCKER_HOST] {
        if name != DEFAULT && env::text(variable).is_some() {
            output::err(&format!("Warning: {variable} environment variable overrides the active context. "));
            output::err(&format!("To use {name:?}, either set the global --context flag, or unset {variable}.\n"));
        }
    }
    Ok(0)
}

/// `context show`.
pub mod show {
    use super::{App, Args, Arity, Outcome, definition, output};

    /// What `context show` takes.
    #[derive(Debug, Args)]
    pub struct ShowFlags {}

    definition! {
        ShowFlags, show,
        names: &["context show"],
        about: "Print the name of the current context",
        usage: "",
        arity: Arity::None,
    }

    async fn show(app: &App, _flags: ShowFlags) -> Outcome {
        output::out(&format!("{}\n", app.current_context()?))?;
        Ok(0)
    }
}
