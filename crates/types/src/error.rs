//! One error type for the whole of wharf: what went wrong, of which kind, and what the person can do about it.
//!
//! The [`Kind`] alone decides the HTTP status and the exit code; nobody ever looks into the text.

use std::error::Error as StdError;
use std::fmt;

/// The result of nearly every fallible function in wharf.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure this is, as far as a caller may want to tell failures apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The object that was named does not exist (HTTP 404).
    NotFound,
    /// The request contradicts the present state (HTTP 409).
    Conflict,
    /// The request makes no sense, whatever the state (HTTP 400).
    InvalidParameter,
    /// The caller has not shown who it is (HTTP 401).
    Unauthorized,
    /// The caller may not do this (HTTP 403).
    Forbidden,
    /// Nothing had to be done (HTTP 304).
    NotModified,
    /// Something that is needed does not answer at the moment (HTTP 503).
    Unavailable,
    /// The host or this version of wharf cannot do this (HTTP 501).
    NotImplemented,
    /// The program of a container could not be found: exit code 127, HTTP 400 as Docker has it.
    CommandNotFound,
    /// The program of a container could not be executed: exit code 126, HTTP 400 as Docker has it.
    CommandNotExecutable,
    /// Stored or received content is not what its digest or format promises (HTTP 500).
    Corrupt,
    /// No space, memory, descriptors or addresses are left (HTTP 500).
    Exhausted,
    /// The host refused or failed for another reason (HTTP 500).
    System,
}

impl Kind {
    /// The HTTP status by which the Engine API answers.
    pub fn http_status(self) -> u16 {
        match self {
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::InvalidParameter | Kind::CommandNotFound | Kind::CommandNotExecutable => 400,
            Kind::Unauthorized => 401,
            Kind::Forbidden => 403,
            Kind::NotModified => 304,
            Kind::Unavailable => 503,
            Kind::NotImplemented => 501,
            Kind::Corrupt | Kind::Exhausted | Kind::System => 500,
        }
    }

    /// The exit code by which `wharf run` and `wharf start` answer when a container could not be started.
    pub fn start_exit_code(self) -> u8 {
        match self {
            Kind::CommandNotFound => 127,
            Kind::CommandNotExecutable => 126,
            _ => 125,
        }
    }
}

/// A failure: a sentence a person can act on, its kind, a hint and a cause.
///
/// Displays as the sentence alone; [`Error::hint`] and the chain of [`StdError::source`] carry the rest.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("An error of kind [`Kind::", stringify!($kind), "`].")]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(Kind::$kind, message)
            }
        )*
    };
}

impl Error {
    /// An error of the given kind; `message` is a sentence without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    constructors! {
        not_found => NotFound,
        conflict => Conflict,
        invalid => InvalidParameter,
        unauthorized => Unauthorized,
        forbidden => Forbidden,
        not_modified => NotModified,
        unavailable => Unavailable,
        not_implemented => NotImplemented,
        corrupt => Corrupt,
        exhausted => Exhausted,
        system => System,
    }

    /// What the person can do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What made this happen.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, which picks the HTTP status and the exit code.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What the person can do next, if anyone knows.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The sentence followed by all its causes, joined by colons: one line for an API message or a log.
    pub fn chain(&self) -> String {
        let mut text = self.0.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.chain())?;
        self.hint().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Error {
    /// The kind follows the error number, so that a full disk or a missing file is known as such.
    fn from(error: std::io::Error) -> Self {
        Self::new(kind_of_io(&error), error.to_string())
    }
}

fn kind_of_io(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory => Kind::Exhausted,
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData => Kind::Corrupt,
        ErrorKind::Unsupported => Kind::NotImplemented,
        _ => Kind::System,
    }
}

/// Puts a sentence before an error from below.
pub trait ResultExt<T> {
    /// Wraps the error with `message`; the kind is kept from the cause where the cause has one.
    fn context(self, message: impl Into<String>) -> Result<T>;

    /// As [`ResultExt::context`], with a message that is made only when it is needed.
    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T> ResultExt<T> for std::io::Result<T> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Error::new(kind_of_io(&error), message()).caused_by(error))
    }
}

impl<T> ResultExt<T> for Result<T> {
    fn context(self, message: impl Into<String>) -> Result<T> {
        self.with_context(|| message)
    }

    fn with_context<M: Into<String>>(self, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| {
            let mut outer = Error::new(error.kind(), message());
            outer.0.hint = error.0.hint.clone();
            outer.caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_kind_and_hint_and_chains_the_causes() {
        let error: Result<()> = Err(Error::not_found("no such image: web").with_hint("run 'wharf images'"));
        let error = error.context("cannot create the container").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.hint(), Some("run 'wharf images'"));
        assert_eq!(error.chain(), "cannot create the container: no such image: web");
    }

    #[test]
    fn a_full_disk_is_known_as_such() {
        let full = std::io::Error::from_raw_os_error(28);
        assert_eq!(Error::from(full).kind(), Kind::Exhausted);
    }
}
