//! Go's durations.

/// Reads what Go's `time.ParseDuration` reads (`1h2m3.5s`, `300ms`), in nanoseconds; `None` for what it does not.
pub fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number: f64 = rest[..len].parse().ok()?;
        rest = &rest[len..];
        let len = rest.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let unit = match &rest[..len] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[len..];
    }
    if total > i64::MAX as f64 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)] // it was compared with the largest number
    let nanos = total.round() as i64;
    Some(if negative { -nanos } else { nanos })
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("5s", Some(5_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            ("300ms", Some(300_000_000)),
            ("0", Some(0)),
            ("-1s", Some(-1_000_000_000)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("9999999999h", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
