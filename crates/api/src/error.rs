//! The body of an answer that is an error.

use serde::{Deserialize, Serialize};
use wharf_types::{Error, Kind};

/// `{"message": ...}`, with wharf's hint beside it where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    /// One line: what went wrong and why.
    pub message: String,
    /// What the person can do next. Not part of Docker's API; clients ignore unknown fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exact kind, where the HTTP status alone would lose it. Not part of Docker's API.
    #[serde(rename = "io.wharf.kind", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

impl ErrorResponse {
    /// The error that a client makes of an answer with HTTP status `status`.
    pub fn into_error(self, status: u16) -> Error {
        let kind = self.kind.unwrap_or_else(|| kind_of_status(status, &self.message));
        let error = Error::new(kind, self.message);
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<&Error> for ErrorResponse {
    fn from(error: &Error) -> Self {
        let kind = error.kind();
        let implied = kind_of_status(kind.http_status(), "") == kind;
        Self { message: error.chain(), hint: error.hint().map(str::to_owned), kind: (!implied).then_some(kind) }
    }
}

/// The kind that an HTTP status stands for. Docker gives no more than its text for failed starts, so that is looked at
/// for an engine that is not wharf.
fn kind_of_status(status: u16, message: &str) -> Kind {
    match status {
        400 | 500
            if message.contains("executable file not found")
                || message.contains("no such file or directory: unknown") =>
        {
            Kind::CommandNotFound
        }
        400 | 500 if message.contains("permission denied: unknown") => Kind::CommandNotExecutable,
        304 => Kind::NotModified,
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        501 => Kind::NotImplemented,
        503 => Kind::Unavailable,
        400..500 => Kind::InvalidParameter,
        _ => Kind::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in
            [Kind::NotFound, Kind::CommandNotFound, Kind::Corrupt, Kind::Exhausted, Kind::System, Kind::Conflict]
        {
            let error = Error::new(kind, "it broke").with_hint("mend it");
            let json = serde_json::to_string(&ErrorResponse::from(&error)).unwrap();
            let back: ErrorResponse = serde_json::from_str(&json).unwrap();
            let back = back.into_error(kind.http_status());
            assert_eq!((back.kind(), back.hint(), back.to_string().as_str()), (kind, Some("mend it"), "it broke"));
        }
    }

    #[test]
    fn what_the_status_says_is_not_said_twice() {
        let json = serde_json::to_string(&ErrorResponse::from(&Error::not_found("no such image: x"))).unwrap();
        assert_eq!(json, r#"{"message":"no such image: x"}"#);
    }
}
