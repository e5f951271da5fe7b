//! How a call ended.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use prost::Message;
use wharf_types::{Error, Kind};

use crate::proto::{Any, RpcStatus};

/// The codes that matter here; their numbers are gRPC's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    PermissionDenied = 7,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

/// A call's end: a code, a sentence, and what a program may want to know beside it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) details: Vec<Any>,
}

/// What is escaped in a message: everything outside of printable ASCII, and the escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

impl Status {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into(), details: Vec::new() }
    }

    pub(crate) fn ok() -> Self {
        Self::new(Code::Ok, "")
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.code == Code::Ok as i32
    }

    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code as i32
    }

    /// As trailers.
    pub(crate) fn trailers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", HeaderValue::from(self.code));
        let message = utf8_percent_encode(&self.message, ESCAPED).to_string();
        if !message.is_empty()
            && let Ok(value) = HeaderValue::try_from(message)
        {
            map.insert("grpc-message", value);
        }
        if !self.details.is_empty() {
            let bytes = self.to_proto().encode_to_vec();
            if let Ok(value) = HeaderValue::try_from(BASE64_STANDARD_NO_PAD.encode(bytes)) {
                map.insert("grpc-status-details-bin", value);
            }
        }
        map
    }

    /// From trailers, or from headers where there was nothing else; `None` where they have no status.
    pub(crate) fn read(map: &HeaderMap) -> Option<Self> {
        let text = |name: &str| map.get(name).and_then(|value| value.to_str().ok());
        let code = text("grpc-status")?.parse().unwrap_or(Code::Unknown as i32);
        let message = percent_decode_str(text("grpc-message").unwrap_or_default()).decode_utf8_lossy().into_owned();
        let details = text("grpc-status-details-bin").and_then(|text| {
            let bytes =
                BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('=')).or_else(|_| BASE64_STANDARD.decode(text));
            RpcStatus::decode(&*bytes.ok()?).ok()
        });
        Some(Self { code, message, details: details.map(|status| status.details).unwrap_or_default() })
    }

    pub(crate) fn to_proto(&self) -> RpcStatus {
        RpcStatus { code: self.code, message: self.message.clone(), details: self.details.clone() }
    }

    pub(crate) fn from_proto(status: RpcStatus) -> Self {
        Self { code: status.code, message: status.message, details: status.details }
    }

    /// As the engine's own errors are.
    pub(crate) fn into_error(self) -> Error {
        let kind = match self.code {
            3 => Kind::InvalidParameter,
            5 => Kind::NotFound,
            7 | 16 => Kind::Forbidden,
            12 => Kind::NotImplemented,
            _ => Kind::System,
        };
        Error::new(
            kind,
            if self.message.is_empty() { format!("the client answered code {}", self.code) } else { self.message },
        )
    }
}

impl From<&Error> for Status {
    fn from(error: &Error) -> Self {
        let code = match error.kind() {
            Kind::InvalidParameter => Code::InvalidArgument,
            Kind::NotFound => Code::NotFound,
            Kind::Forbidden => Code::PermissionDenied,
            Kind::NotImplemented => Code::Unimplemented,
            _ => Code::Unknown,
        };
        let mut message = error.chain();
        if let Some(hint) = error.hint() {
            message = format!("{message} ({hint})");
        }
        Self::new(code, message)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_trailers() {
        let mut status = Status::new(Code::NotFound, "100% »weg«\nzweite Zeile");
        status.details.push(Any { type_url: "a/b".into(), value: vec![0, 1, 2, 250] });
        let read = Status::read(&status.trailers()).unwrap();
        assert_eq!((read.code, &read.message), (5, &status.message));
        assert_eq!(read.details, status.details);
        assert!(Status::read(&HeaderMap::new()).is_none());
        assert!(Status::read(&Status::ok().trailers()).unwrap().is_ok());
    }
}
