//! What every command has at hand: the name it was called by, the global flags and the client.

use std::cell::OnceCell;

use wharf_client::Client;

use crate::connect::{self, Place};
use crate::credentials::Store;
use crate::failure::{Failure, Outcome};

/// The surroundings of one command.
pub struct App {
    /// `wharf` or `docker`, as the person called it.
    pub name: &'static str,
    /// Flags before the command.
    pub globals: Globals,
    client: OnceCell<Client>,
}

/// The version under a name.
pub fn version_of(name: &str) -> &'static str {
    if name == "docker" { "28.2.2" } else { env!("CARGO_PKG_VERSION") }
}

/// Flags before the command, as far as they matter to commands.
#[derive(Debug, Default, Clone)]
pub struct Globals {
    /// `--host`.
    pub host: Option<String>,
    /// `--config`.
    pub config: Option<String>,
    /// `--debug`.
    pub debug: bool,
}

impl App {
    /// Surroundings with no client yet.
    pub fn new(name: &'static str, globals: Globals) -> Self {
        Self { name, globals, client: OnceCell::new() }
    }

    /// The client; the first call makes sure that an engine is there if it is the default one.
    pub async fn client(&self) -> Outcome<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let place = self.place()?;
        place.make_sure_of_engine().await?;
        Ok(self.client.get_or_init(|| Client::new(place.endpoint)))
    }

    /// The person's credentials for registries.
    pub fn credentials(&self) -> Outcome<Store> {
        Store::open(self.globals.config.as_deref())
    }

    /// Where the engine is.
    pub fn place(&self) -> Outcome<Place> {
        connect::find(self.globals.host.as_deref())
    }

    /// The version that this client says it has: under Docker's name the one of Docker whose manners it has, which is
    /// what tools that look at it want to know.
    pub fn version(&self) -> &'static str {
        version_of(self.name)
    }

    /// Says on standard error what failed, with its hint.
    pub fn report(&self, failure: &Failure) {
        if !failure.message.is_empty() {
            let line = self.own_words(failure);
            let text = match failure.origin {
                crate::failure::Origin::Usage => format!("{line}\n"),
                _ if self.name == "docker" => match failure.command {
                    Some(command) => format!("docker: {line}\n\nRun 'docker {command} --help' for more information\n"),
                    None => format!("{line}\n"),
                },
                _ => format!("{}: {}\n", self.name, failure.message),
            };
            crate::output::err(&text);
        }
        match (&failure.hint, failure.command) {
            (Some(hint), _) => crate::output::err(&format!("hint: {hint}\n")),
            (None, Some(command)) if self.name != "docker" => {
                crate::output::err(&format!("hint: '{} {command} --help' says what each flag takes\n", self.name));
            }
            _ => {}
        }
    }

    /// Scripts know docker's words for some things that happen often.
    fn own_words(&self, failure: &Failure) -> String {
        let line = failure.line();
        if self.name != "docker" {
            return line;
        }
        line.replace("to the wharf engine at", "to the Docker daemon at")
            .replace("Is the engine running?", "Is the docker daemon running?")
            .replace("No such object:", "Error: No such object:")
            .replace("failed to start containers:", "Error: failed to start containers:")
    }
}
