//! JSON strings as Go's encoder writes them, because that is what readers of Docker's log files have seen so far.

/// Appends `bytes` to `out` as the inside of a JSON string.
///
/// Beside what JSON asks for, `<`, `>`, `&`, U+2028 and U+2029 are escaped; each byte that is not UTF-8 becomes U+FFFD.
pub(crate) fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        escape_str(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

/// Whether `bytes` is printable ASCII without anything to escape. Free of branches, so that it compiles to vector code.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, &byte| plain & !needs_care(byte))
}

/// Whether this byte may not be copied as it is, or may begin a character that may not.
fn needs_care(byte: u8) -> bool {
    !(0x20..0x80).contains(&byte) | (byte == b'"') | (byte == b'\\') | (byte == b'<') | (byte == b'>') | (byte == b'&')
}

fn escape_str(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = text.iter().position(|&byte| needs_care(byte)) {
        out.extend_from_slice(&text[..at]);
        let used = escape_char(out, &text[at..]);
        text = &text[at + used..];
    }
    out.extend_from_slice(text);
}

/// Writes the character that `text` begins with; returns how many bytes of `text` that was.
fn escape_char(out: &mut Vec<u8>, text: &[u8]) -> usize {
    match text {
        [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
            out.extend_from_slice(if *last == 0xa8 { br"\u2028" } else { br"\u2029" });
            3
        }
        [byte @ 0x80..=0xff, ..] => {
            let length = text[1..].iter().take_while(|&&next| next & 0xc0 == 0x80).count() + 1;
            debug_assert!(*byte >= 0xc0, "inside a character");
            out.extend_from_slice(&text[..length]);
            length
        }
        [byte, ..] => {
            escape_ascii(out, *byte);
            1
        }
        [] => 0,
    }
}

fn escape_ascii(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(br"\n"),
        b'\r' => out.extend_from_slice(br"\r"),
        _ => {
            out.extend_from_slice(br"\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// The `attrs` object of a log line, keys sorted as Go sorts a map's; empty when there are none.
pub(crate) fn attributes(attrs: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    let sorted: std::collections::BTreeMap<_, _> = attrs.iter().map(|(key, value)| (key, value)).collect();
    for (key, value) in sorted {
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        escape(&mut out, key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_are_those_of_go() {
        assert_eq!(escaped(b"plain text"), "plain text");
        assert_eq!(escaped(b"a\tb\r\n\x1b[0m\x7f"), "a\\u0009b\\r\\n\\u001b[0m\x7f");
        assert_eq!(escaped(br#"<a href="x">&\</a>"#), r#"\u003ca href=\"x\"\u003e\u0026\\\u003c/a\u003e"#);
        assert_eq!(escaped("é \u{2028}\u{2029} 界 \u{2027}".as_bytes()), "é \\u2028\\u2029 界 \u{2027}");
    }

    #[test]
    fn every_byte_that_is_not_utf8_becomes_a_replacement_character() {
        assert_eq!(escaped(b"a\xff\xe2\x82b"), r"a\ufffd\ufffd\ufffdb");
    }

    #[test]
    fn attributes_are_sorted_and_escaped() {
        let attrs = [("tag".to_owned(), "a\"b".to_owned()), ("env".to_owned(), "x".to_owned())];
        assert_eq!(attributes(&attrs), br#"{"env":"x","tag":"a\"b"}"#);
        assert!(attributes(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn text_survives_a_round_trip(text in any::<String>()) {
            let json = format!("\"{}\"", escaped(text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn bytes_become_valid_json(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let json = format!("\"{}\"", escaped(&bytes));
            let mut expected = String::new();
            for chunk in bytes.utf8_chunks() {
                expected.push_str(chunk.valid());
                expected.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), expected);
        }
    }
}
