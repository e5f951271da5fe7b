//! How things look on a terminal: sizes, times, tables and rows through templates.

pub mod duration;
pub mod journal;
pub mod progress;
pub mod sink;
pub mod size;
pub mod source;
pub mod table;
pub mod tabs;

use crate::failure::{Failure, Outcome};

/// An operating system's error in the words of Go: `no such file or directory`.
pub fn os_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = error.to_string();
            let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
            let mut chars = text.chars();
            chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
        }
        None => error.to_string(),
    }
}

/// Writes to standard output. A reader that has gone away ends the command quietly.
pub fn out(text: &str) -> Outcome<()> {
    write(&mut std::io::stdout().lock(), text.as_bytes())
}

/// As [`out`], for what need not be text.
pub fn out_bytes(bytes: &[u8]) -> Outcome<()> {
    write(&mut std::io::stdout().lock(), bytes)
}

fn write(stream: &mut impl std::io::Write, bytes: &[u8]) -> Outcome<()> {
    match stream.write_all(bytes).and_then(|()| stream.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {}", os_error(&error)))),
    }
}

/// Writes to standard error; if that fails there is nobody left to tell.
pub fn err(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes());
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

/// Asks a question on standard output; only `y` and `yes` agree.
pub fn confirm(question: &str) -> Outcome<bool> {
    out(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// The first twelve digits of an id, without the algorithm of a digest.
pub fn short_id(id: &str) -> String {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.chars().take(12).collect()
}

/// At most `width` characters; the last one is an ellipsis where some are left out.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The order of names for people: numbers within them count as numbers, so that `a9` comes before `a10`.
pub fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, other) = (digits(&mut a), digits(&mut b));
            number.len().cmp(&other.len()).then_with(|| number.cmp(other))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Takes a number off the front; without its leading zeros.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    &number[number.iter().position(|b| *b != b'0').unwrap_or(number.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["b", "a10", "a9", "a", "a09b", "a9a"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "a9", "a9a", "a09b", "a10", "b"]);
    }

    #[test]
    fn long_things_are_shortened() {
        assert_eq!(ellipsis("sleep 300 and some more words", 20), "sleep 300 and some …");
        assert_eq!(ellipsis("short", 20), "short");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
