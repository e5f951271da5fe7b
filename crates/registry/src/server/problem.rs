//! What a request is refused with: a status and one of the specification's codes.

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use wharf_types::{Error, Kind};

/// The result of answering a request.
pub type Answered<T> = Result<T, Problem>;

/// Why a request is refused (distribution-spec, "Error Codes").
#[derive(Debug)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The specification's word for it.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What it is about.
    pub detail: Value,
    /// Headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident => $status:ident $code:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(StatusCode::$status, $code, message)
            }
        )*
    };
}

impl Problem {
    /// A refusal without detail.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: Value::Null, headers: Vec::new() }
    }

    problems! {
        /// The repository does not have the blob.
        blob_unknown => NOT_FOUND "BLOB_UNKNOWN",
        /// The upload cannot go on like this.
        upload_invalid => BAD_REQUEST "BLOB_UPLOAD_INVALID",
        /// There is no such upload (any more).
        upload_unknown => NOT_FOUND "BLOB_UPLOAD_UNKNOWN",
        /// No digest, or not the content's one.
        digest_invalid => BAD_REQUEST "DIGEST_INVALID",
        /// A manifest names content that the repository does not have.
        manifest_blob_unknown => NOT_FOUND "MANIFEST_BLOB_UNKNOWN",
        /// No manifest.
        manifest_invalid => BAD_REQUEST "MANIFEST_INVALID",
        /// The repository has no such manifest.
        manifest_unknown => NOT_FOUND "MANIFEST_UNKNOWN",
        /// No repository's name.
        name_invalid => BAD_REQUEST "NAME_INVALID",
        /// There is no such repository.
        name_unknown => NOT_FOUND "NAME_UNKNOWN",
        /// A length is not what was said.
        size_invalid => BAD_REQUEST "SIZE_INVALID",
        /// Too long to be stored.
        too_large => PAYLOAD_TOO_LARGE "SIZE_INVALID",
        /// A chunk or a range that does not fit.
        range_invalid => RANGE_NOT_SATISFIABLE "RANGE_INVALID",
        /// The caller has not shown who it is.
        unauthorized => UNAUTHORIZED "UNAUTHORIZED",
        /// The caller may not do this.
        denied => FORBIDDEN "DENIED",
        /// Nobody may do this, because other content would break.
        in_use => METHOD_NOT_ALLOWED "DENIED",
        /// This registry cannot do this.
        unsupported => METHOD_NOT_ALLOWED "UNSUPPORTED",
        /// A number of entries that makes no sense.
        number_invalid => BAD_REQUEST "PAGINATION_NUMBER_INVALID",
        /// Too much at once.
        too_many => TOO_MANY_REQUESTS "TOOMANYREQUESTS",
        /// Something that is needed does not answer.
        unavailable => SERVICE_UNAVAILABLE "UNAVAILABLE",
        /// There is nothing at this path.
        no_such_path => NOT_FOUND "UNSUPPORTED",
    }

    /// What it is about.
    #[must_use]
    pub fn about(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Another header in the answer; a value that cannot be one is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// The specification's document.
    pub fn document(&self) -> Value {
        json!({ "errors": [{ "code": self.code, "message": self.message, "detail": self.detail }] })
    }
}

/// What fails inside is told to the operator in full and to the client in short.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let sentence = || error.to_string();
        match error.kind() {
            Kind::NotFound => Self::blob_unknown(sentence()),
            Kind::InvalidParameter => Self::upload_invalid(sentence()),
            Kind::Unavailable => Self::unavailable(sentence()),
            Kind::Forbidden => Self::denied(sentence()),
            _ => {
                tracing::error!(error = error.chain(), "a request failed");
                let status = if error.kind() == Kind::Exhausted {
                    StatusCode::INSUFFICIENT_STORAGE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                Self::new(status, "UNKNOWN", sentence())
            }
        }
    }
}
