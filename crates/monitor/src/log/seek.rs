//! Finds a point in time in a file whose lines are in order of time, without reading all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;

use super::Entry;

/// When to stop halving, in bytes: this much is read faster than it is searched. It also makes up for pieces of long
/// lines, which carry the time of their first one.
const CLOSE: u64 = 1 << 20;
/// How much is read to find a whole line: more than the longest can be.
const WINDOW: usize = 256 * 1024;

/// An offset at which a line begins and before which nothing is as young as `since`; 0 if that is the beginning.
pub(super) fn offset_of(file: &File, since: Timestamp) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    let first = line_after(file, 0)?;
    if first.is_none_or(|(_, time)| time >= since) {
        return Ok(0);
    }
    while high - low > CLOSE {
        let middle = low + (high - low) / 2;
        match line_after(file, middle)? {
            Some((_, time)) if time < since => low = middle,
            _ => high = middle,
        }
    }
    // Half a window back: a long line's pieces, and clocks that were set.
    let low = low.saturating_sub(CLOSE / 2);
    Ok(line_after(file, low)?.map_or(0, |(offset, _)| offset))
}

/// The first whole line at or after this offset that can be read: where it begins, and its time.
fn line_after(file: &File, offset: u64) -> io::Result<Option<(u64, Timestamp)>> {
    let mut window = vec![0; WINDOW];
    let count = file.read_at(&mut window, offset)?;
    let window = &window[..count];
    let mut start = if offset == 0 { Some(0) } else { memchr::memchr(b'\n', window).map(|at| at + 1) };
    while let Some(begin) = start {
        let Some(length) = memchr::memchr(b'\n', &window[begin..]) else { return Ok(None) };
        if let Some(entry) = Entry::parse(&window[begin..begin + length]) {
            return Ok(Some((offset + begin as u64, entry.time)));
        }
        start = Some(begin + length + 1);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_time_is_found_in_a_large_file() {
        let mut file = tempfile::tempfile().unwrap();
        let start = Timestamp::from_second(1_000_000).unwrap();
        let at = |number: i64| start + jiff::SignedDuration::from_secs(number);
        let filler = "x".repeat(400);
        let mut out = io::BufWriter::new(&mut file);
        for number in 0..20_000 {
            writeln!(out, "{{\"log\":\"{filler}\",\"stream\":\"stdout\",\"time\":\"{}\"}}", at(number)).unwrap();
        }
        out.flush().unwrap();
        drop(out);
        for wanted in [0, 1, 777, 10_000, 19_999] {
            let offset = offset_of(&file, at(wanted)).unwrap();
            let (_, time) = line_after(&file, offset).unwrap().unwrap();
            assert!(time <= at(wanted), "{wanted}");
            let lines = (at(wanted).as_second() - time.as_second()) as u64;
            assert!(lines * 450 <= 2 * CLOSE, "{wanted}: {lines} lines too early");
        }
        assert_eq!(offset_of(&file, at(-5)).unwrap(), 0);
    }
}
