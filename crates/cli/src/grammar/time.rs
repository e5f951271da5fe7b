//! Spans and points in time: `1m30s`, `2023-11-14T22:13`, `10m` ago.

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// A span in nanoseconds as Go writes it: numbers with units, as `1h2m3.5s`.
#[allow(clippy::cast_possible_truncation)] // the range is checked
pub fn duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        total += number * factor.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        rest = &rest[end..];
    }
    if total > 9.2e18 { Err(invalid()) } else { Ok((sign * total) as i64) }
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
