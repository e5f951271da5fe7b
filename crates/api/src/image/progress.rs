//! Progress as a stream of JSON lines: pull, push, import, load, build.

use serde::{Deserialize, Serialize};
use wharf_types::{Error, Kind};

use crate::ErrorResponse;

/// One line of progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Progress {
    /// Text to be printed as it is (build, load).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What happens: `Downloading`, `Pull complete`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The same as a bar of characters, for old clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What it is about, a layer as a rule; one line of the display each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it failed; the stream ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The same as text alone, for old clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A result for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Aux>,
}

/// How far something is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProgressDetail {
    /// So much is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Of so much, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The unit; bytes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
}

/// Why something failed whose answer had begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// An exit code or HTTP status, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// One line.
    pub message: String,
    /// What the person can do next. Not part of Docker's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The kind of the failure. Not part of Docker's API.
    #[serde(rename = "io.wharf.kind", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// A result for programs: the image's id after a build, a tag's digest after a push.
pub type Aux = serde_json::Value;

impl Progress {
    /// A line that says `status`.
    pub fn status(status: impl Into<String>) -> Self {
        Self { status: Some(status.into()), ..Self::default() }
    }

    /// A text to be printed as it is.
    pub fn stream(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// The same line about `id`.
    #[must_use]
    pub fn of(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same line with how far it is, in bytes; `total` 0 is unknown.
    #[must_use]
    pub fn at(mut self, current: u64, total: u64) -> Self {
        self.progress = Some(bar(current, total));
        self.progress_detail =
            Some(ProgressDetail { current: Some(current), total: (total > 0).then_some(total), units: None });
        self
    }

    /// The last line of a stream that failed.
    pub fn failed(error: &Error) -> Self {
        let body = ErrorResponse::from(error);
        let code = match error.kind() {
            Kind::System => None,
            kind => Some(i64::from(kind.http_status())),
        };
        Self {
            error: Some(body.message.clone()),
            error_detail: Some(ErrorDetail { code, message: body.message, hint: body.hint, kind: Some(error.kind()) }),
            ..Self::default()
        }
    }

    /// The error that this line carries, if it does.
    pub fn into_error(self) -> Option<Error> {
        let detail = match (self.error_detail, self.error) {
            (Some(detail), _) => detail,
            (None, Some(message)) => ErrorDetail { message, ..ErrorDetail::default() },
            (None, None) => return None,
        };
        let status = detail.code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        Some(ErrorResponse { message: detail.message, hint: detail.hint, kind: detail.kind }.into_error(status))
    }
}

const BAR: usize = 50;

/// `[====>    ]  1.2MB/3.4MB`, as old clients show it.
fn bar(current: u64, total: u64) -> String {
    if total == 0 {
        return humanize_bytes(current);
    }
    let filled = (u128::from(current.min(total)) * BAR as u128 / u128::from(total)) as usize;
    let head = if filled < BAR { ">" } else { "" };
    let rest = " ".repeat(BAR - filled - head.len());
    format!("[{}{head}{rest}]  {}/{}", "=".repeat(filled), humanize_bytes(current), humanize_bytes(total))
}

/// Bytes with a decimal unit and four significant digits at most: `3.402kB`.
pub fn humanize_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        let line = serde_json::to_string(&Progress::status("Downloading").of("ab").at(500, 1000)).unwrap();
        assert!(line.contains(r#""progressDetail":{"current":500,"total":1000}"#), "{line}");
        assert!(line.contains("[=========================>                        ]  500B/1kB"), "{line}");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0B"), (999, "999B"), (1000, "1kB"), (3402, "3.402kB"), (116_500_000, "116.5MB")] {
            assert_eq!(humanize_bytes(bytes), text);
        }
    }

    #[test]
    fn a_failure_survives_the_wire() {
        let error = Error::corrupt("layer 3 is cut short").with_hint("download it again");
        let line = serde_json::to_string(&Progress::failed(&error)).unwrap();
        let back = serde_json::from_str::<Progress>(&line).unwrap().into_error().unwrap();
        assert_eq!((back.kind(), back.hint()), (Kind::Corrupt, Some("download it again")));
    }
}
