//! Spans and points in time: `1m30s`, `2023-11-14T22:13`, `10m` ago.

/// A span in nanoseconds as Go writes it: numbers with units, as `1h2m3.5s`.
pub fn duration(text: &str) -> Result<i64, String> {
    wharf_types::parse_duration(text).map_err(|error| error.to_string())
}

/// A point in time for `--since` and `--until` as the API takes it: seconds since 1970, with nanoseconds where given.
/// Spans count back from now; times without a zone are local.
pub fn timestamp(text: &str, now: jiff::Timestamp) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    if let Ok(span) = duration(text) {
        let time = now.checked_sub(jiff::SignedDuration::from_nanos(span)).map_err(|e| e.to_string())?;
        return Ok(seconds_and_nanos(time));
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') && text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    let invalid = || format!("invalid value for time: failed to parse value as time or duration: {text:?}");
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(seconds_and_nanos(time));
    }
    let local = text.parse::<jiff::civil::DateTime>().map_err(|_| invalid())?;
    let zoned = local.to_zoned_datetime(jiff::tz::TimeZone::system()).map_err(|_| invalid())?;
    Ok(seconds_and_nanos(zoned.timestamp()))
}

fn seconds_and_nanos(time: jiff::Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", 0),
            ("1s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("300ms", 300_000_000),
            ("-2us", -2000),
            ("1h2m3.5s", 3_723_500_000_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("30", "time: missing unit in duration \"30\""),
            ("3x", "time: unknown unit \"x\" in duration \"3x\""),
        ] {
            assert_eq!(duration(text), Err(expected.into()), "{text}");
        }
    }

    #[test]
    fn points_in_time_become_seconds() {
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(timestamp("10m", now).unwrap(), "1699999400.000000000");
        assert_eq!(timestamp("1700000000", now).unwrap(), "1700000000");
        assert_eq!(timestamp("2023-11-14T22:13:20Z", now).unwrap(), "1700000000.000000000");
        assert_eq!(timestamp("2023-11-14T22:13:20.5+00:00", now).unwrap(), "1700000000.500000000");
        assert!(timestamp("2023-11-14", now).is_ok() && timestamp("2023-11-14T22:13", now).is_ok());
        assert!(timestamp("soon", now).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}|[0-9.hmsun-]{0,12}") {
            _ = duration(&text);
            _ = timestamp(&text, jiff::Timestamp::UNIX_EPOCH);
        }
    }
}
