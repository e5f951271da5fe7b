//! Times and spans of time for people.

use wharf_types::span_in_words;

/// How long ago a Unix time was.
pub fn ago(unix_seconds: i64) -> String {
    format!("{} ago", span_in_words(jiff::Timestamp::now().as_second().saturating_sub(unix_seconds)))
}

/// A Unix time as Go prints it with the local zone: `2023-11-14 22:13:20 +0000 UTC`.
pub fn go_time(unix_seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(unix_seconds) else { return unix_seconds.to_string() };
    time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_the_words_of_docker() {
        const HOUR: i64 = 3600;
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (HOUR, "About an hour"),
            (2 * HOUR, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (13 * 24 * HOUR, "13 days"),
            (14 * 24 * HOUR, "2 weeks"),
            (60 * 24 * HOUR, "2 months"),
            (3 * 365 * 24 * HOUR, "3 years"),
        ] {
            assert_eq!(span_in_words(seconds), expected);
        }
    }
}
