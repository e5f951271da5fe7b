//! What every command has at hand: the name it was called by, the global flags and the client.

use std::cell::OnceCell;

use wharf_client::Client;

use crate::connect::{self, Place};
use crate::context;
use crate::credentials::{Store, folder_of};
use crate::env;
use crate::failure::{Failure, Outcome};

/// The surroundings of one command.
pub struct App {
    /// `wharf` or `docker`, as the person called it.
    pub name: &'static str,
    /// Flags before the command.
    pub globals: Globals,
    client: OnceCell<Client>,
    config: OnceCell<Store>,
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
    /// `--context`.
    pub context: Option<String>,
    /// `--tls*`.
    pub tls: TlsFlags,
    /// All of them as they were typed, for the programs that add commands.
    pub words: Vec<String>,
    /// `--debug`.
    pub debug: bool,
}

/// The flags about TLS.
#[derive(Debug, Default, Clone)]
pub struct TlsFlags {
    /// `--tls`, which any of the others implies.
    pub tls: bool,
    /// `--tlsverify`, if it was given.
    pub verify: Option<bool>,
    /// `--tlscacert`.
    pub authorities: Option<String>,
    /// `--tlscert`.
    pub certificate: Option<String>,
    /// `--tlskey`.
    pub key: Option<String>,
}

impl App {
    /// Surroundings with no client yet.
    pub fn new(name: &'static str, globals: Globals) -> Self {
        Self { name, globals, client: OnceCell::new(), config: OnceCell::new() }
    }

    /// The client; the first call makes sure that an engine is there if it is the default one.
    pub async fn client(&self) -> Outcome<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let place = self.place()?;
        place.make_sure_of_engine().await?;
        let client = match env::text(env::DOCKER_API_VERSION) {
            Some(version) => {
                let version = version.trim_start_matches('v').parse();
                Client::with_version(
                    place.endpoint,
                    version.map_err(|_| Failure::new("DOCKER_API_VERSION is no version of the API, such as 1.47"))?,
                )
            }
            None => Client::new(place.endpoint),
        };
        let client = client.with_headers(&self.config().pairs("HttpHeaders"))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The person's credentials for registries.
    pub fn credentials(&self) -> Outcome<Store> {
        Store::open(self.globals.config.as_deref())
    }

    /// `config.json`. One that cannot be read is said once, and nothing is taken from it.
    pub fn config(&self) -> &Store {
        self.config.get_or_init(|| match self.credentials() {
            Ok(store) => store,
            Err(failure) => {
                crate::output::err(&format!("WARNING: {failure}\n"));
                Store::default()
            }
        })
    }

    /// Where the engine is.
    pub fn place(&self) -> Outcome<Place> {
        connect::find(self)
    }

    /// Engines by name.
    pub fn contexts(&self) -> context::Store {
        context::Store::new(&folder_of(self.globals.config.as_deref()))
    }

    /// The context that is meant: by `--context`, unless an address is given, by `DOCKER_CONTEXT`, by `config.json`.
    pub fn current_context(&self) -> Outcome<String> {
        if let Some(named) = &self.globals.context {
            return Ok(named.clone());
        }
        let addressed = self.globals.host.is_some()
            || env::text(env::WHARF_HOST).is_some()
            || env::text(env::DOCKER_HOST).is_some();
        if addressed {
            return Ok(context::DEFAULT.to_owned());
        }
        let chosen = match env::text(env::DOCKER_CONTEXT) {
            Some(named) => Some(named),
            None => self.config().text("currentContext"),
        };
        Ok(chosen.unwrap_or_else(|| context::DEFAULT.to_owned()))
    }

    /// A context by its name; the default one is made of what flags and environment say.
    pub fn context(&self, name: &str) -> Outcome<context::Context> {
        if name != context::DEFAULT {
            return self.contexts().get(name);
        }
        let host = connect::address(self).unwrap_or_else(|| format!("unix://{}", connect::DEFAULT_SOCKET));
        Ok(context::Context {
            name: name.to_owned(),
            description: format!("Current {} based configuration", env::DOCKER_HOST),
            host,
            ..context::Context::default()
        })
    }

    /// What `--format` says, or else the setting for it in `config.json`, such as `psFormat`.
    pub fn format(&self, flag: Option<&str>, setting: &str) -> Outcome<String> {
        match flag {
            Some(format) => Ok(format.to_owned()),
            None => Ok(self.config().text(setting).unwrap_or_default()),
        }
    }

    /// The keys that detach: by `--detach-keys`, or by `detachKeys` in `config.json`.
    pub fn detach_keys(&self, flag: Option<&str>) -> Outcome<String> {
        self.format(flag, "detachKeys")
    }

    /// Makes a context the current one.
    pub fn use_context(&self, name: &str) -> Outcome<()> {
        let mut config = self.credentials()?;
        config.set_text("currentContext", if name == context::DEFAULT { "" } else { name });
        config.save()
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
