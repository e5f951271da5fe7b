//! Sizes for people: `1.5kB`, `77.9MB`, `512MiB`.

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// In powers of 1000 with four significant digits, as `docker info` and progress show it.
pub fn decimal(bytes: f64) -> String {
    with_digits(bytes, 1000.0, &DECIMAL, 4)
}

/// In powers of 1000 with three significant digits, as tables show it.
pub fn decimal3(bytes: f64) -> String {
    with_digits(bytes, 1000.0, &DECIMAL, 3)
}

/// In powers of 1024 with four significant digits, as memory is shown.
pub fn binary(bytes: f64) -> String {
    with_digits(bytes, 1024.0, &BINARY, 4)
}

/// As [`decimal3`], for the integers of the API.
#[allow(clippy::cast_precision_loss)] // three digits are shown
pub fn of(bytes: i64) -> String {
    decimal3(bytes as f64)
}

fn with_digits(bytes: f64, base: f64, units: &[&str], digits: usize) -> String {
    let (mut value, mut unit) = (bytes, 0);
    while value.abs() >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// Go's `%.Ng`: N significant digits without trailing zeros, an exponent when the number is larger than the digits show.
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let shown = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= shown {
        return format!("{}e{}{:02}", trim(mantissa), if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    let places = usize::try_from(shown - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_digits_of_docker() {
        for (bytes, expected) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (77_912_345, "77.9MB"),
            (116_000_000, "116MB"),
            (999_999, "1e+03kB"),
            (1_500_000_000_000, "1.5TB"),
            (-1, "-1B"),
        ] {
            assert_eq!(of(bytes), expected);
        }
        assert_eq!(decimal(1_234_567.0), "1.235MB");
        assert_eq!(binary(1024.0 * 1024.0 * 7.767), "7.767MiB");
        assert_eq!(binary(3.0 * 1024.0 * 1024.0 * 1024.0), "3GiB");
        assert_eq!(binary(1023.0), "1023B");
    }
}
