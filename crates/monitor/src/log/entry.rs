//! One entry of a json-file log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::Stream;

/// One entry: a line, a piece of a long line, or what was left when the stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which stream it was written to.
    pub stream: Stream,
    /// When it was read from the container.
    pub time: Timestamp,
    /// The text, with its newline if it had one.
    pub text: Vec<u8>,
    /// The `attrs` of the log's configuration.
    pub attrs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    stream: Stream,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: Option<BTreeMap<String, String>>,
}

impl Entry {
    /// Reads one line of a log file; `None` if it is damaged.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
        Some(Self {
            stream: raw.stream,
            time: raw.time.parse().ok()?,
            text: raw.log.into_owned().into_bytes(),
            attrs: raw.attrs.unwrap_or_default(),
        })
    }

    /// Stands for damage before `next`, with its stream and time so that whoever wants that also learns of this.
    pub(super) fn gap(bytes: usize, next: &Self) -> Self {
        Self { text: format!("[{bytes} bytes of the log are damaged]\n").into_bytes(), ..next.clone() }
    }

    /// The time as `docker logs --timestamps` prints it: RFC 3339 in UTC with nine digits of a second.
    pub fn timestamp(&self) -> String {
        format!("{:.9}", self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_dockers_is_understood() {
        let line = br#"{"log":"a \u003c b\n","stream":"stderr","attrs":{"tag":"x"},"time":"2026-01-01T00:00:00.12Z"}"#;
        let entry = Entry::parse(line).unwrap();
        assert_eq!((entry.stream, &entry.text[..]), (Stream::Stderr, &b"a < b\n"[..]));
        assert_eq!(entry.timestamp(), "2026-01-01T00:00:00.120000000Z");
        assert_eq!(entry.attrs["tag"], "x");
    }

    #[test]
    fn damage_is_recognised() {
        for bad in
            [&b""[..], b"{", b"\0\0\0", br#"{"log":"x","stream":"stdout"}"#, br#"{"log":"x","stream":"y","time":"z"}"#]
        {
            assert_eq!(Entry::parse(bad), None);
        }
    }
}
