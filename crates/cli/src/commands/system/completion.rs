//! `completion`: what a shell needs to complete our words.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::failure::{Failure, Outcome};
use crate::output;

/// What `completion` takes.
#[derive(Debug, Args)]
pub struct CompletionFlags {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL", num_args = 0..)]
    shell: Vec<String>,
}

definition! {
    CompletionFlags, completion,
    names: &["completion"],
    about: "Print the completion script for a shell: bash, zsh or fish",
    usage: "SHELL",
    arity: Arity::Exactly(1),
}

async fn completion(app: &App, flags: CompletionFlags) -> Outcome {
    let shell: clap_complete::Shell = match flags.shell[0].as_str() {
        "bash" => clap_complete::Shell::Bash,
        "zsh" => clap_complete::Shell::Zsh,
        "fish" => clap_complete::Shell::Fish,
        other => {
            return Err(Failure::new(format!("no completion for the shell {other:?}"))
                .with_hint("there is one for bash, zsh and fish"));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::tree::whole(app.name), app.name, &mut script);
    output::out_bytes(&script)?;
    Ok(0)
}
