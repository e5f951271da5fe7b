//! `top`: the processes of a container.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::Outcome;
use crate::output::{self, tabs};

/// What `top` takes.
#[derive(Debug, Args)]
pub struct TopFlags {
    /// Container and options of ps
    #[arg(value_name = "CONTAINER", trailing_var_arg = true, num_args = 0..)]
    words: Vec<String>,
}

definition! {
    TopFlags, top,
    names: &["container top", "top"],
    about: "Show the processes of a container",
    usage: "CONTAINER [ps OPTIONS]",
    arity: Arity::AtLeast(1),
}

async fn top(app: &App, flags: TopFlags) -> Outcome {
    let options = flags.words[1..].join(" ");
    let options = Some(options.as_str()).filter(|options| !options.is_empty());
    let top = app.client().await?.container_top(&flags.words[0], options).await?;
    let rows = std::iter::once(&top.titles).chain(&top.processes);
    let text: String = rows.map(|row| row.join("\t") + "\n").collect();
    output::out(&tabs::align(&text, 20, 3))?;
    Ok(0)
}
