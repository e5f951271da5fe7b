//! Signals by name and number (signal(7)).

use wharf_types::{Error, Result};

/// The standard signals of x86 and arm, in order from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// First and last real-time signal as glibc numbers them.
const REAL_TIME: (i32, i32) = (34, 64);

/// The number of a signal given by number or name, with or without `SIG`, in any case.
///
/// # Errors
/// `InvalidParameter`, in Docker's words.
pub fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=REAL_TIME.1).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let standard = NAMES.iter().position(|name| *name == bare).and_then(|at| i32::try_from(at + 1).ok());
    let number = match bare {
        "IOT" => Some(6),
        "POLL" => Some(29),
        "CLD" => Some(17),
        _ => standard.or_else(|| real_time(bare)),
    };
    number.ok_or_else(invalid)
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
fn real_time(name: &str) -> Option<i32> {
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<i32>().ok() };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        (rest.is_empty() || rest.starts_with('+')).then(|| offset(rest)).flatten().map(|n| REAL_TIME.0 + n)
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        (rest.is_empty() || rest.starts_with('-')).then(|| offset(rest)).flatten().map(|n| REAL_TIME.1 - n)
    };
    number.filter(|number| (REAL_TIME.0..=REAL_TIME.1).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_name_and_number() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("WINCH", 28),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGNONE", "RTMIN-1", "RTMIN+99", "RTMAX+1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
