//! A client whose files and secrets have already arrived.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wharf_build::host::{Files, Future, RegistryLogin, Session};
use wharf_build::progress::Event;
use wharf_types::{Error, Result};

/// Everything that a client gave along with its request.
pub struct LocalSession {
    /// Contexts by name; the main one's is empty.
    pub files: BTreeMap<String, Files>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Sockets of SSH agents on this host by id.
    pub agents: BTreeMap<String, PathBuf>,
    /// Who asks registries, by their domains.
    pub logins: BTreeMap<String, RegistryLogin>,
    /// Hears what happens.
    pub tell: Box<dyn Fn(Event) + Send + Sync>,
    /// What keeps the contexts.
    pub held: Vec<Box<dyn Send + Sync>>,
}

impl Session for LocalSession {
    fn files<'a>(&'a self, name: &'a str) -> Future<'a, Result<Files>> {
        Box::pin(async move {
            self.files.get(name).cloned().ok_or_else(|| match name {
                "" => Error::not_found("this build has no context").with_hint("name a folder to copy from"),
                name => Error::not_found(format!("there is no context named {name}")),
            })
        })
    }

    fn secret<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<Vec<u8>>>> {
        Box::pin(async move { Ok(self.secrets.get(id).cloned()) })
    }

    fn ssh_agent<'a>(&'a self, id: &'a str) -> Future<'a, Result<Option<PathBuf>>> {
        Box::pin(async move { Ok(self.agents.get(id).cloned()) })
    }

    fn registry_login<'a>(&'a self, domain: &'a str) -> Future<'a, Result<Option<RegistryLogin>>> {
        Box::pin(async move { Ok(self.logins.get(domain).cloned()) })
    }

    fn progress(&self, event: Event) {
        (self.tell)(event);
    }
}
