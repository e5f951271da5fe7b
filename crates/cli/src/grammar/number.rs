//! Numbers: sizes with units, fractions of processors, integers and truth values as Go reads them.

/// A size in bytes: `512`, `1.5g`, `64MiB`, with powers of 1024.
pub fn bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = match &text[end..=end] {
        " " => (&text[..end], &text[end + 1..]),
        _ => text.split_at(end + 1),
    };
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(invalid());
    }
    let value: f64 = number.parse().map_err(|_| invalid())?;
    let unknown = || format!("invalid suffix: '{suffix}'");
    let lower = suffix.to_ascii_lowercase();
    let Some(unit) = lower.chars().next() else { return whole(value).ok_or_else(invalid) };
    let power = match unit {
        'b' if lower.len() == 1 => 0,
        'b' => return Err(unknown()),
        unit => 1 + "kmgtp".find(unit).ok_or_else(unknown)?,
    };
    if power > 0 && !matches!(&lower[1..], "" | "b" | "ib") {
        return Err(unknown());
    }
    let factor = 1_u64 << (10 * power);
    #[allow(clippy::cast_precision_loss)] // at most 2^50
    whole(value * factor as f64).ok_or_else(invalid)
}

/// As [`bytes`], and `-1` for no limit.
pub fn bytes_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

#[allow(clippy::cast_possible_truncation)] // the range is checked
fn whole(value: f64) -> Option<i64> {
    (value.is_finite() && value < 9.2e18).then_some(value as i64)
}

/// Processors in billionths: `1.5`, `3/2`, `1e-3`.
pub fn nano_cpus(text: &str) -> Result<i64, String> {
    let invalid = || format!("failed to parse {text} as a rational number");
    let (numerator, denominator) = match text.split_once('/') {
        Some((n, d)) => (n, d.parse::<u32>().ok().filter(|d| *d > 0).ok_or_else(invalid)?),
        None => (text, 1),
    };
    let (digits, exponent) = decimal(numerator).ok_or_else(invalid)?;
    let power =
        u32::try_from((exponent + 9).unsigned_abs()).ok().and_then(|p| 10_i128.checked_pow(p)).ok_or_else(invalid)?;
    let (top, bottom) = match exponent + 9 {
        0.. => (digits.checked_mul(power).ok_or_else(invalid)?, i128::from(denominator)),
        _ => (digits, power.checked_mul(i128::from(denominator)).ok_or_else(invalid)?),
    };
    if top % bottom != 0 {
        return Err("value is too precise".into());
    }
    i64::try_from(top / bottom).map_err(|_| invalid())
}

/// A decimal number as digits and a power of ten.
fn decimal(text: &str) -> Option<(i128, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    Some((if negative { -value } else { value }, i64::from(exponent) - places))
}

/// A truth value as Go reads it.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A whole number of any type, with Go's complaint.
pub fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<T, String> {
    integer_as(text, "ParseInt")
}

/// As [`integer`], for flags that Go reads as unsigned.
pub fn unsigned<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<T, String> {
    integer_as(text, "ParseUint")
}

fn integer_as<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, name: &str) -> Result<T, String> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why =
            if matches!(error.kind(), PosOverflow | NegOverflow) { "value out of range" } else { "invalid syntax" };
        format!("strconv.{name}: parsing {text:?}: {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units() {
        for (text, expected) in [
            ("0", 0),
            ("1", 1),
            ("1k", 1024),
            ("1KB", 1024),
            ("10GiB", 10 << 30),
            ("1.5g", 3 << 29),
            ("1 g", 1 << 30),
            ("64m", 64 << 20),
            ("2P", 2 << 50),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("x", "invalid size: 'x'"),
            ("b", "invalid size: 'b'"),
            ("", "invalid size: ''"),
            ("-1", "invalid size: '-1'"),
            ("1x", "invalid suffix: 'x'"),
            ("1kbb", "invalid suffix: 'kbb'"),
            ("1bb", "invalid suffix: 'bb'"),
        ] {
            assert_eq!(bytes(text), Err(expected.into()), "{text}");
        }
        assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
    }

    #[test]
    fn processors_are_exact() {
        for (text, expected) in [
            ("1.5", 1_500_000_000),
            ("3/2", 1_500_000_000),
            ("1e-3", 1_000_000),
            (".5", 500_000_000),
            ("-1", -1_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(nano_cpus(text), Ok(expected), "{text}");
        }
        assert_eq!(nano_cpus("1/3"), Err("value is too precise".into()));
        assert_eq!(nano_cpus("0.0000000001"), Err("value is too precise".into()));
        for text in ["x", "", "1/0", "1.x", "9e99", "."] {
            assert_eq!(nano_cpus(text), Err(format!("failed to parse {text} as a rational number")));
        }
    }

    #[test]
    fn integers_complain_as_go_does() {
        assert_eq!(integer::<i64>("x"), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
        assert_eq!(unsigned::<u16>("70000"), Err("strconv.ParseUint: parsing \"70000\": value out of range".into()));
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("x"), Err("strconv.ParseBool: parsing \"x\": invalid syntax".into()));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}|[0-9.eE/+-]{0,30}[a-z]{0,4}") {
            _ = (bytes(&text), nano_cpus(&text), boolean(&text));
        }
    }
}
