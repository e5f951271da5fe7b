//! `logout`: forgets who one is for a registry.

use clap::Args;

use crate::app::App;
use crate::commands::{Arity, definition};
use crate::credentials::key_of;
use crate::failure::Outcome;
use crate::output;

/// What `logout` takes.
#[derive(Debug, Args)]
pub struct LogoutFlags {
    /// Registry; Docker Hub where none is named
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

definition! {
    LogoutFlags, logout,
    names: &["logout"],
    about: "Forget the credentials for a registry",
    usage: "[SERVER]",
    arity: Arity::AtMost(1),
}

async fn logout(app: &App, flags: LogoutFlags) -> Outcome {
    let server = flags.server.unwrap_or_default();
    let server = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let shown = key_of(server);
    let text = match app.credentials()?.remove(server)? {
        true => format!("Removing login credentials for {shown}\n"),
        false => format!("Not logged in to {shown}\n"),
    };
    output::out(&text)?;
    Ok(0)
}
