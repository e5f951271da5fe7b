//! `context rm`.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition, each};
use crate::context::DEFAULT;
use crate::failure::{Failure, Outcome};

/// What `context rm` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// Remove it even if it is in use, and do not mind if it is not there
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "CONTEXT", num_args = 0..)]
    names: Vec<String>,
}

definition! {
    RmFlags, rm,
    names: &["context rm", "context remove"],
    about: "Remove contexts",
    usage: "CONTEXT [CONTEXT...]",
    arity: Arity::AtLeast(1),
}

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    let current = app.current_context()?;
    each(app, &flags.names, async |name| {
        if name == DEFAULT {
            return Err(Failure::new("context \"default\" cannot be removed"));
        }
        if !app.contexts().has(name) && !flags.force {
            return Err(Failure::new(format!("context {name:?}: context not found")));
        }
        if *name == current {
            if !flags.force {
                return Err(Failure::new(format!("context {name:?} is in use, set -f flag to force remove")));
            }
            app.use_context(DEFAULT)?;
        }
        app.contexts().remove(name)
    })
    .await
}
