//! Points in time as Docker writes them.

use std::time::Duration;

use wharf_types::{Error, Result};

/// What Docker writes for a time that has not come.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Now, RFC 3339 with nanoseconds.
pub fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// The time between two points, zero if the clock went backwards.
pub fn between(start: &str, end: &str) -> Result<Duration> {
    let span = parse(end)?.duration_since(parse(start)?);
    Ok(span.try_into().unwrap_or(Duration::ZERO))
}

/// Seconds since 1970 of an RFC 3339 time; 0 where it cannot be read.
pub fn unix(text: &str) -> i64 {
    parse(text).map_or(0, jiff::Timestamp::as_second)
}

/// A duration as Docker says it: `Less than a second`, `About a minute`, `3 weeks`.
pub fn in_words(duration: Duration) -> String {
    wharf_types::span_in_words(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

fn parse(text: &str) -> Result<jiff::Timestamp> {
    text.parse().map_err(|error: jiff::Error| Error::invalid(format!("{text} is no time")).caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_has_nine_digits_and_reads_back() {
        let text = now();
        assert_eq!(text.len(), "2026-01-01T00:00:00.123456789Z".len(), "{text}");
        assert_eq!(between(&text, &text).unwrap(), Duration::ZERO);
    }

    #[test]
    fn durations_are_said_as_docker_says_them() {
        for (seconds, words) in [
            (0, "Less than a second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (47 * 3600, "47 hours"),
            (49 * 3600, "2 days"),
            (20 * 86400, "2 weeks"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
