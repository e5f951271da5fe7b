//! PAX extended headers (POSIX.1-2001, "pax Extended Header"): records of `length key=value`.

use super::sparse::PaxSparse;

/// The prefix under which tar keeps extended attributes.
pub(crate) const XATTR: &str = "SCHILY.xattr.";

/// What a PAX header says about the entry that follows it.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: PaxSparse,
}

impl Pax {
    /// Reads all records; `None` when the header breaks the grammar.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut pax = Self::default();
        // Some writers fill up with NULs.
        while bytes.first().is_some_and(|b| *b != 0) {
            let (key, value, rest) = record(bytes)?;
            pax.apply(key, value)?;
            bytes = rest;
        }
        Some(pax)
    }

    /// An empty value takes back what was said before; unknown keys mean nothing here.
    fn apply(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let key = std::str::from_utf8(key).ok()?;
        let text = || Some(value.to_vec()).filter(|value| !value.is_empty() && !value.contains(&0));
        match key {
            "path" => self.path = text(),
            "linkpath" => self.link = text(),
            "size" => self.size = optional(value, decimal)?,
            "uid" => self.uid = optional(value, decimal)?,
            "gid" => self.gid = optional(value, decimal)?,
            "mtime" => self.mtime = optional(value, time)?,
            _ => match (key.strip_prefix(XATTR), key.strip_prefix("GNU.sparse.")) {
                (Some(name), _) => self.add_xattr(name, value),
                (None, Some(name)) => self.sparse.apply(name, value)?,
                (None, None) => {}
            },
        }
        Some(())
    }

    fn add_xattr(&mut self, name: &str, value: &[u8]) {
        self.xattrs.retain(|(known, _)| known != name.as_bytes());
        self.xattrs.push((name.into(), value.to_vec()));
    }
}

/// Splits off one record: key, value and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(20).position(|b| *b == b' ')?;
    let len = usize::try_from(decimal(&bytes[..blank])?).ok()?;
    let (record, rest) = bytes.split_at_checked(len)?;
    let body = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=').filter(|at| *at > 0)?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

/// `Some(None)` for an empty value, `None` for one that cannot be read.
fn optional<T>(value: &[u8], read: impl Fn(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if value.is_empty() { Some(None) } else { read(value).map(Some) }
}

/// An unsigned decimal number.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A decimal number of seconds with sign and fraction, as whole seconds (rounded down) and nanoseconds.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(decimal(&text[..dot])?).ok()?;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

/// Appends one record. Its length counts its own digits.
pub(crate) fn write_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.ilog10() as usize + 1 {
        len = rest + len.ilog10() as usize + 1;
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_sign_and_fraction() {
        for (text, value) in [
            ("1", Some((1, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.1234567899", Some((1, 123_456_789))),
            ("-1.25", Some((-2, 750_000_000))),
            ("-1", Some((-1, 0))),
            ("1.x", None),
            ("", None),
        ] {
            assert_eq!(time(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn broken_records_are_refused() {
        for bytes in
            [&b"5 a=b\n"[..], b"6 a=b", b"7 a=b\n", b"6 =ab\n", b"x a=b\n", b"999999999999999999999 a=b\n", b"0 a=b\n"]
        {
            assert!(Pax::parse(bytes).is_none(), "{bytes:?}");
        }
        assert!(Pax::parse(b"6 a=b\n\0\0").is_some());
    }

    proptest! {
        #[test]
        fn records_read_back(path in "[^\0]{1,300}", value in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let mut bytes = Vec::new();
            write_record(&mut bytes, b"path", path.as_bytes());
            write_record(&mut bytes, b"SCHILY.xattr.user.x", &value);
            let pax = Pax::parse(&bytes).unwrap();
            prop_assert_eq!(pax.path.unwrap(), path.into_bytes());
            prop_assert_eq!(pax.xattrs, vec![(b"user.x".to_vec(), value)]);
        }

        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            Pax::parse(&bytes);
        }
    }
}
