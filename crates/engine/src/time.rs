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
}
