//! Points in time as parameters.

use jiff::Timestamp;
use wharf_types::{Error, Result};

use crate::request::Query;

/// The time that a parameter names: seconds since 1970 with decimals, or RFC 3339. `None` where it is absent or 0.
pub(crate) fn parameter(query: &Query, name: &str) -> Result<Option<Timestamp>> {
    match query.text(name) {
        "" | "0" => Ok(None),
        text => parse(text).map(Some).ok_or_else(|| {
            Error::invalid(format!(
                "invalid value {text:?} for {name}: a time is needed, as seconds since 1970 or RFC 3339"
            ))
        }),
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    if text.contains(['T', ':']) {
        return text.parse().ok();
    }
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds = match decimals {
        "" => 0,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => format!("{digits:0<9}").get(..9)?.parse().ok()?,
        _ => return None,
    };
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(parse("1700000000").unwrap().as_second(), 1_700_000_000);
        assert_eq!(parse("1700000000.5").unwrap().subsec_nanosecond(), 500_000_000);
        assert_eq!(parse("1700000000.000000001").unwrap().subsec_nanosecond(), 1);
        assert_eq!(parse("2023-11-14T22:13:20Z").unwrap().as_second(), 1_700_000_000);
        for bad in ["", "x", "1.x", "2023-11-14T", "1e9", "99999999999999999999"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
