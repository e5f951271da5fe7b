//! How a command fails: what it says and the exit code.

use std::fmt;

use wharf_types::{Error, Kind};

/// The result of a command: its exit code.
pub type Outcome<T = u8> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong; nothing is said if it is empty.
    pub message: String,
    /// What the person can do next.
    pub hint: Option<String>,
    /// Who said so.
    pub origin: Origin,
    /// The exit code.
    pub code: u8,
    /// The command whose help is worth reading.
    pub command: Option<&'static str>,
}

/// Where a failure comes from, which decides how its message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The engine answered so.
    Engine,
    /// The client found out itself.
    Client,
    /// The command line makes no sense; the message is complete.
    Usage,
}

impl Failure {
    /// A failure that the client itself found; exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, origin: Origin::Client, code: 1, command: None }
    }

    /// A command line that makes no sense.
    pub fn usage(message: impl Into<String>, code: u8) -> Self {
        Self { message: message.into(), hint: None, origin: Origin::Usage, code, command: None }
    }

    /// An exit code about which nothing is said, because all has been said.
    pub fn silent(code: u8) -> Self {
        Self { message: String::new(), hint: None, origin: Origin::Client, code, command: None }
    }

    /// What the person can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The command whose help is worth reading.
    #[must_use]
    pub fn of_command(mut self, command: &'static str) -> Self {
        self.command = Some(command);
        self
    }

    /// The same, said by the client.
    #[must_use]
    pub fn by_client(mut self) -> Self {
        self.origin = Origin::Client;
        self
    }

    /// The message with its beginning, as lists of failures print it.
    pub fn line(&self) -> String {
        match self.origin {
            Origin::Engine => format!("Error response from daemon: {}", self.message),
            Origin::Client | Origin::Usage => self.message.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What the client crate reports comes from the engine, except that there is no engine.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let origin = if error.kind() == Kind::Unavailable { Origin::Client } else { Origin::Engine };
        Self {
            message: sentence(&error),
            hint: error.hint().or_else(|| usual_hint(error.kind())).map(str::to_owned),
            origin,
            code: 1,
            command: None,
        }
    }
}

/// The sentence with its causes; one that ends by asking needs none.
fn sentence(error: &Error) -> String {
    let alone = error.to_string();
    if alone.ends_with('?') { alone } else { error.chain() }
}

/// What helps against most failures of a kind, where the engine gave no hint of its own.
fn usual_hint(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::CommandNotFound => {
            Some("name a program that the image has, by its full path if it is not in the image's PATH")
        }
        Kind::CommandNotExecutable => Some("make the file executable, or run it by its interpreter: 'sh FILE'"),
        Kind::Exhausted => {
            Some("free some space: 'system df' shows what takes it, 'container prune' and 'image prune' remove")
        }
        _ => None,
    }
}

impl From<crate::template::TemplateError> for Failure {
    fn from(error: crate::template::TemplateError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}
