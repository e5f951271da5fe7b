//! Go's durations: `1h2m3.5s`, `300ms`, `-1.5h`.

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// The longest span in nanoseconds, some 291 years.
const LONGEST: f64 = 9.2e18;

/// Why a text is no duration, in Go's words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("time: {0}")]
pub struct DurationError(String);

/// Reads what Go's `time.ParseDuration` reads, numbers with units: in nanoseconds.
///
/// # Errors
/// A number without a unit, an unknown unit, and what is no number or too long.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError(format!("invalid duration {text:?}"));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut total = 0.0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(DurationError(format!("missing unit in duration {text:?}")));
        }
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
        total += number * factor.ok_or_else(|| DurationError(format!("unknown unit {unit:?} in duration {text:?}")))?;
        rest = after;
    }
    if total > LONGEST {
        return Err(invalid());
    }
    #[allow(clippy::cast_possible_truncation)] // the range is checked
    let nanoseconds = total.round() as i64;
    Ok(sign * nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("5s", Some(5_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("300ms", Some(300_000_000)),
            ("0", Some(0)),
            ("-1s", Some(-1_000_000_000)),
            ("2.3s", Some(2_300_000_000)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("9999999999h", None),
        ] {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
    }
}
